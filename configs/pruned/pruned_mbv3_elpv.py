"""Soft targets on ELPV solar cells, of a share KEEP of the labels.

KEEP of the LABEL_FRACTION that all runs on them have; cells that lose their
label stay among the unlabelled ones.
"""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/pruned.py']

# The training images are other ones, so no other run has its cache.
model = dict(**_base_.method, teacher=dict(cache_dir=None))

train_dataloader = dict(
    dataset=dict(
        labelled=dict(
            fraction=_base_.keep
            * _base_.train_dataloader.dataset.labelled.fraction
        )
    )
)
