"""Soft targets of standardised logits on a folder of domains."""

_base_ = [
    '../_base_/runs/domain_folder.py',
    '../_base_/methods/logit_standardization.py',
]

model = dict(**_base_.method)
