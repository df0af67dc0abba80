"""FreeMatch on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv_alone.py', '../_base_/baselines/freematch.py']

model = dict(**_base_.method)
