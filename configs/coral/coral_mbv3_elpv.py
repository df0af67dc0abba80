"""Deep CORAL on ELPV solar cells of two types."""

_base_ = [
    '../_base_/runs/elpv_domains_alone.py',
    '../_base_/baselines/coral.py',
]

model = dict(**_base_.method)
