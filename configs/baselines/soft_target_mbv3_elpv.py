"""Soft-target distillation on ELPV solar cells."""

_base_ = [
    '../customkd_mbv3_elpv.py',
    '../_base_/methods/soft_target.py',
]

model = dict(
    _delete_=True,
    student=_base_.student,
    teacher=_base_.teacher,
    input_size=_base_.image_size,
    **_base_.method,
)
