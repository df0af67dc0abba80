"""A round of self-distillation on ELPV solar cells.

PREVIOUS is the student of the round before; the first teacher is that of
configs/labelled_only/labelled_only_mbv3_elpv.py.
"""

_base_ = [
    '../_base_/runs/elpv_alone.py',
    '../_base_/methods/self_distillation.py',
]

model = dict(
    **_base_.method,
    teacher=dict(
        type='MMPretrainTeacher',
        model=_base_.student,
        checkpoint='{{$PREVIOUS:work_dirs/labelled_only_mbv3_elpv/student.pth}}',
        data_preprocessor=_base_.data_preprocessor,
    ),
)
