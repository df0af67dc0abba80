"""ScaleKD, Swin-L to ViT-B/16 on ImageNet; the paper has 85.53."""

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/students/vit_base_deit.py',
    '../_base_/tasks/imagenet_swin_large.py',
    '../_base_/schedules/adamw_300.py',
    '../_base_/methods/scalekd_swin_large_transformer.py',
]

model = dict(**_base_.method, student=_base_.student)

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='EMAHook', momentum=1e-4, priority='ABOVE_NORMAL'),
]
