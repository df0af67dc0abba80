"""MDCS on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv_alone.py', '../_base_/baselines/mdcs.py']

model = dict(**_base_.method)

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='FoldHeadsHook', heads=dict(common=1 / 3, rare=1 / 3)),
]
