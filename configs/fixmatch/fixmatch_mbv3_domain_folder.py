"""FixMatch on a folder of domains."""

_base_ = [
    '../_base_/runs/domain_folder_alone.py',
    '../_base_/baselines/fixmatch.py',
]

model = dict(**_base_.method)
