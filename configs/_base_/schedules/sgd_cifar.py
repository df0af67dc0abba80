"""SGD for small images."""

_base_ = './sgd_long.py'

optim_wrapper = dict(optimizer=dict(lr=0.03, weight_decay=5e-4))
