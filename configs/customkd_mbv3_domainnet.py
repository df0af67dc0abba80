"""CustomKD on DomainNet: DINOv2 teaches MobileNetV3-large.

The paper gives neither the weights of the terms nor schedule, batch sizes or
augmentation: all of those here are [ours], and not tuned on this data.
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
