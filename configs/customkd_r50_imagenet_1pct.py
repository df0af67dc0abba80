"""CustomKD on ImageNet with 1 % of the labels: DINOv2 teaches ResNet-50.

Weights of the terms, schedule, batch sizes and augmentation are our choices,
not tuned on this data (docs/methods.md, CustomKD).
"""

_base_ = [
    './_base_/tasks/imagenet_1pct_r50.py',
    './_base_/schedules/sgd_long_alternating.py',
]

model = dict(type='CustomKD', general_weight=1.0, specific_weight=1.0)
