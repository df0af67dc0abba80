"""The recipe up to customization, for twice as long."""

_base_ = './recipe_4_customized.py'

train_cfg = dict(max_epochs=80)
