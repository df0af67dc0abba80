"""CustomKD on OfficeHome: DINOv2 ViT-B/14 teaches MobileNetV3-large.

The paper does not say which MobileNetV3, which weights of the terms or which
schedule it used: all of those here are [ours], and not tuned on OfficeHome.
"""

_base_ = [
    './_base_/datasets/officehome_224.py',
    './_base_/students/mobilenet_v3_large_in1k.py',
    './_base_/teachers/dinov2_vitb14.py',
    './_base_/schedules/adamw_finetune.py',
    './_base_/default_runtime.py',
]

model = dict(
    type='CustomKD',
    student=_base_.student,
    teacher=_base_.teacher,
    input_size=_base_.image_size,
    general_weight=1.0,
    specific_weight=1.0,
)
