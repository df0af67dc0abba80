"""DANN on ELPV solar cells of two types."""

_base_ = [
    '../_base_/runs/elpv_domains_alone.py',
    '../_base_/baselines/dann.py',
]

model = dict(**_base_.method)
