"""The same with a customization epoch before each of the 100."""

_base_ = './sgd_long.py'

# Written in epochs of the whole run, of which each stage has every second.
param_scheduler = [
    dict(_base_.param_scheduler[0], end=10),
    _base_.param_scheduler[1],
]

# The student changes in every second epoch.
train_cfg = dict(max_epochs=200, val_interval=2)
