"""SpecMatch: each direction of the teacher's feature by the cube root.

The basis is made by `StandardizeTeacherHook(rotate=True)` in the config; the
weight is ours (docs/methods.md, Features).
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(loss=dict(_delete_=True, type='SpecMatch'), weight=5.0)
    )
)
