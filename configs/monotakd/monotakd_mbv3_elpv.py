"""MonoTAKD on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/monotakd.py']

model = dict(**_base_.method)
