"""Similarity-preserving distillation on a folder of domains."""

_base_ = [
    '../_base_/runs/domain_folder.py',
    '../_base_/methods/similarity_preserving.py',
]

model = dict(**_base_.method)
