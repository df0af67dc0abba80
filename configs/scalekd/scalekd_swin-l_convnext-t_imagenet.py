"""ScaleKD, Swin-L to ConvNeXt-T on ImageNet; the paper has 84.16."""

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/students/convnext_tiny.py',
    '../_base_/tasks/imagenet_swin_large.py',
    '../_base_/schedules/adamw_300.py',
    '../_base_/methods/scalekd_swin_large_convnext.py',
]

model = dict(**_base_.method, student=_base_.student)

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='EMAHook', momentum=1e-4, priority='ABOVE_NORMAL'),
]
