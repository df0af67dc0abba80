"""EZAD on ELPV solar cells: a teacher with adapted normalisation layers.

First `python tools/adapt_teacher.py` with this config, which writes ADAPTED.
"""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/ezad.py']

model = dict(
    **_base_.method,
    teacher=dict(
        # No other run has this teacher.
        cache_dir=None,
        teacher=dict(
            _delete_=True,
            type='AdaptedTeacher',
            teacher=_base_.teacher,
            adaptation='{{$ADAPTED:work_dirs/ezad_mbv3_elpv/teacher_norm.safetensors}}',
        ),
    ),
)
