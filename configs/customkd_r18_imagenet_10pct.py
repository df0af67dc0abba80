"""CustomKD on ImageNet with 10 % of the labels: DINOv2 teaches ResNet-18.

We could read nowhere which weights of the terms, schedule, batch sizes and
augmentation the paper used: those here are [ours], and not tuned on this data.
"""

_base_ = [
    './_base_/tasks/imagenet_10pct_r18.py',
    './_base_/schedules/sgd_long_alternating.py',
]

model = dict(
    type='CustomKD',
    general_weight=1.0,
    specific_weight=1.0,
)
