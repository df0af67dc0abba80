"""FEDS' weights on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/entropy_weighted.py']

model = dict(**_base_.method)
