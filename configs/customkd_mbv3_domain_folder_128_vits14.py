"""The same with DINOv2 ViT-S/14 as the teacher."""

_base_ = [
    './customkd_mbv3_domain_folder_128.py',
    './_base_/teachers/dinov2_vits14.py',
]

model = dict(
    teacher=dict(teacher=dict(_delete_=True, **_base_.vits14_teacher))
)
