"""Soft targets on ELPV solar cells, of a share KEEP of the labels."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/pruned.py']

# The training images are other ones, so no other run has its cache.
model = dict(**_base_.method, teacher=dict(cache_dir=None))

train_dataloader = dict(
    dataset=dict(labelled=dict(fraction=_base_.keep, seed=_base_.seed))
)
