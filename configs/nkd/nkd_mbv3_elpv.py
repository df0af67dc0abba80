"""NKD on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/nkd.py']

model = dict(**_base_.method)
