"""Soft-target distillation on a folder of domains."""

_base_ = [
    '../customkd_mbv3_domain_folder.py',
    '../_base_/methods/soft_target.py',
]

model = dict(
    _delete_=True,
    student=_base_.student,
    teacher=_base_.teacher,
    input_size=_base_.image_size,
    **_base_.method,
)
