"""LELP on a folder of domains."""

_base_ = ['../_base_/runs/domain_folder.py', '../_base_/methods/lelp.py']

model = dict(**_base_.method)

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='SubclassHook'),
]
