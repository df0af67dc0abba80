"""SpecMatch on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/spec_match.py']

model = dict(**_base_.method)

# In place of the one that standardises alone.
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(type='StandardizeTeacherHook', rotate=True),
]
