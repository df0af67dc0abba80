"""CustomKD's task-specific term alone."""

_base_ = './customkd.py'

model = dict(general_weight=0.0)
