"""The same bound for twice as long."""

_base_ = './true_labels.py'

train_cfg = dict(max_epochs=40)
