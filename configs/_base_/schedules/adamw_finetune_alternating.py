"""The same with a customization epoch before each of the 20."""

_base_ = './adamw_short_alternating.py'

optim_wrapper = dict(optimizer=dict(lr=5e-4))
