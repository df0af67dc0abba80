"""Similarity-preserving distillation on ELPV solar cells."""

_base_ = [
    '../_base_/runs/elpv.py',
    '../_base_/methods/similarity_preserving.py',
]

model = dict(**_base_.method)
