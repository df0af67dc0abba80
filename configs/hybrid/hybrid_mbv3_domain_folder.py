"""Hybrid Distillation on a folder of domains."""

_base_ = [
    '../_base_/runs/domain_folder_crop.py',
    '../_base_/methods/hybrid.py',
]

model = dict(**_base_.method)
