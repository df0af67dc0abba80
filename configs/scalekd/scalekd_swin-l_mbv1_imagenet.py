"""ScaleKD, Swin-L to MobileNetV1 on ImageNet; the paper has 75.15."""

_base_ = [
    '../_base_/datasets/imagenet_mobile.py',
    '../_base_/students/mobilenet_v1_bce.py',
    '../_base_/tasks/imagenet_swin_large.py',
    '../_base_/schedules/lamb_300.py',
    '../_base_/methods/scalekd_swin_large.py',
]

model = dict(**_base_.method, student=_base_.student)
