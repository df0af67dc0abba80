"""ScaleKD, BEiT-L/14 to ViT-B/14 on ImageNet; the paper has 86.43."""

_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/students/vit_base_p14_deit.py',
    '../_base_/tasks/imagenet_eva_large.py',
    '../_base_/schedules/adamw_300.py',
    '../_base_/methods/scalekd_beit_large.py',
]

model = dict(**_base_.method, student=_base_.student)

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='EMAHook', momentum=1e-4, priority='ABOVE_NORMAL'),
]
