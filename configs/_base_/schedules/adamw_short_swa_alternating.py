"""The same with a customization epoch before each of the 20."""

_base_ = './adamw_short_alternating.py'

param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], type='CosineConstantLR'),
]
