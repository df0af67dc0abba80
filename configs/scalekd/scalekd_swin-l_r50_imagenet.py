"""ScaleKD, Swin-L to ResNet-50 on ImageNet; the paper has 82.03."""

_base_ = [
    '../_base_/datasets/imagenet_conv.py',
    '../_base_/students/resnet50_bce.py',
    '../_base_/tasks/imagenet_swin_large.py',
    '../_base_/schedules/lamb_300.py',
    '../_base_/methods/scalekd_swin_large.py',
]

model = dict(**_base_.method, student=_base_.student)
