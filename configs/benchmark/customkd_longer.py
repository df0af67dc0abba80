"""CustomKD, for twice as long."""

_base_ = './customkd.py'

train_cfg = dict(max_epochs=80)
