"""And BatchNorm statistics of the unlabelled images."""

_base_ = './recipe_4_customized.py'

custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(type='BatchNormStatisticsHook', stream='unlabelled'),
    # Last: it looks at the student that is left.
    _base_.custom_hooks[-1],
]
