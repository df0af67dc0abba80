"""ScaleKD's two views on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv_crop.py', '../_base_/methods/frequency_view.py']

model = dict(**_base_.method)
