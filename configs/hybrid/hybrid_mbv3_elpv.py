"""Hybrid Distillation on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv_crop.py', '../_base_/methods/hybrid.py']

model = dict(**_base_.method)
