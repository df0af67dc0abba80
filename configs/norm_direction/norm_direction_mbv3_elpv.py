"""KD++ on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/norm_direction.py']

model = dict(**_base_.method)
