"""LAPTOP-Diff's weights on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/inverse_norm.py']

model = dict(**_base_.method)
