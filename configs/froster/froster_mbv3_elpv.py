"""FROSTER on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/froster.py']

model = dict(
    **_base_.method,
    # As wide as the feature of EfficientNet-Lite2.
    student=dict(head=dict(mid_channels=[1280])),
)
