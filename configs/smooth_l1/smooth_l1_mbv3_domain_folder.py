"""Smooth L1 of features on a folder of domains."""

_base_ = ['../_base_/runs/domain_folder.py', '../_base_/methods/smooth_l1.py']

model = dict(**_base_.method)
