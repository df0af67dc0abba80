"""Matching of logits on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/logit_matching.py']

model = dict(**_base_.method)
