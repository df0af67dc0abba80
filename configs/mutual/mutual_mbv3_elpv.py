"""Mutual learning on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv_alone.py', '../_base_/baselines/mutual.py']

model = dict(
    **_base_.method,
    networks=dict(peer=dict(type='Peer', model=_base_.student)),
)
