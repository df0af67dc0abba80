"""CustomKD on DomainNet: DINOv2 teaches MobileNetV3-large.

We could read nowhere which weights of the terms, schedule, batch sizes and
augmentation the paper used: those here are [ours], and not tuned on this data.
"""

_base_ = [
    './_base_/tasks/domainnet_mbv3.py',
    './_base_/schedules/adamw_finetune_alternating.py',
]

model = dict(
    type='CustomKD',
    general_weight=1.0,
    specific_weight=1.0,
)
