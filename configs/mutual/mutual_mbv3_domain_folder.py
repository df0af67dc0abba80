"""Mutual learning on a folder of domains."""

_base_ = [
    '../_base_/runs/domain_folder_alone.py',
    '../_base_/baselines/mutual.py',
]

model = dict(
    **_base_.method,
    networks=dict(peer=dict(type='Peer', model=_base_.student)),
)
