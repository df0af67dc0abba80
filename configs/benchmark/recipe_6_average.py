"""And an average of the student over a tenth of the run."""

_base_ = './recipe_5_statistics.py'

custom_hooks = [dict(type='StudentEMAHook'), *_base_.custom_hooks]
