"""LELP on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/lelp.py']

model = dict(**_base_.method)

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='SubclassHook'),
]
