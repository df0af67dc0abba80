"""Projector, BatchNorm and logarithm on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/log_sum.py']

model = dict(**_base_.method)
