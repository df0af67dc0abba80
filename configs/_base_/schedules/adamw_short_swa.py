"""As adamw_short.py, but the rate is constant in the last quarter.

For `dict(type='StudentSWAHook')` in a config's `custom_hooks`.
"""

_base_ = './adamw_short.py'

param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], type='CosineConstantLR'),
]
