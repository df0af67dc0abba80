"""Smooth L1 of features on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/smooth_l1.py']

model = dict(**_base_.method)
