"""The same with OpenCLIP ViT-B/16 as the teacher."""

_base_ = [
    './customkd_mbv3_officehome.py',
    './_base_/teachers/openclip_vitb16.py',
]

model = dict(teacher=dict(_delete_=True, **_base_.openclip_teacher))
