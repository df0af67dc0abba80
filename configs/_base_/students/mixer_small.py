"""MLP-Mixer-S/16 from scratch."""

_base_ = './mixer_base.py'

student = dict(backbone=dict(arch='s'), head=dict(in_channels=512))
