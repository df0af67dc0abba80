"""FEDS' weights on a folder of domains."""

_base_ = [
    '../_base_/runs/domain_folder.py',
    '../_base_/methods/entropy_weighted.py',
]

model = dict(**_base_.method)
