"""MGD on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv_crop.py', '../_base_/methods/mgd.py']

model = dict(**_base_.method)
