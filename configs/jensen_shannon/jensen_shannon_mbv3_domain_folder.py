"""SSLD on a folder of domains."""

_base_ = [
    '../_base_/runs/domain_folder.py',
    '../_base_/methods/jensen_shannon.py',
]

model = dict(**_base_.method)
