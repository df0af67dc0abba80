"""Soft-target distillation on ELPV solar cells."""

_base_ = [
    '../_base_/tasks/elpv_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/soft_target.py',
]

model = dict(**_base_.method)

train_cfg = dict(max_epochs=14)
