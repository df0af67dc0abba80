"""Soft targets of a probe of the teacher, for twice as long."""

_base_ = './soft_target.py'

train_cfg = dict(max_epochs=40)
