"""SpecMatch on a folder of domains."""

_base_ = ['../_base_/runs/domain_folder.py', '../_base_/methods/spec_match.py']

model = dict(**_base_.method)

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='StandardizeTeacherHook', rotate=True),
]
