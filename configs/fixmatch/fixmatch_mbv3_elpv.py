"""FixMatch on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv_alone.py', '../_base_/baselines/fixmatch.py']

model = dict(**_base_.method)
