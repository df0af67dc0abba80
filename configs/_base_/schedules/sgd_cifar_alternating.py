"""The same with a customization epoch before each of the 100."""

_base_ = './sgd_long_alternating.py'

optim_wrapper = dict(optimizer=dict(lr=0.03, weight_decay=5e-4))
