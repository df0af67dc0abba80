"""AdamW for students that start from ImageNet weights."""

_base_ = './adamw_short.py'

optim_wrapper = dict(optimizer=dict(lr=5e-4))
