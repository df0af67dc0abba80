"""ScaleKD, Swin-L to Swin-T on ImageNet; the paper has 83.80."""

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/students/swin_tiny.py',
    '../_base_/tasks/imagenet_swin_large.py',
    '../_base_/schedules/adamw_300.py',
    '../_base_/methods/scalekd_swin_large_swin.py',
]

model = dict(**_base_.method, student=_base_.student)
