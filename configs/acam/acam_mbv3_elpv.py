"""ACAM-KD on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv_crop.py', '../_base_/methods/acam.py']

model = dict(**_base_.method)
