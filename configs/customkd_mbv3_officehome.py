"""CustomKD on OfficeHome: DINOv2 ViT-B/14 teaches MobileNetV3-large.

Weights of the terms, schedule, batch sizes and augmentation are our choices,
not tuned on this data (docs/methods.md, CustomKD).
"""

_base_ = [
    './_base_/tasks/officehome_mbv3.py',
    './_base_/schedules/adamw_finetune_alternating.py',
]

model = dict(type='CustomKD', general_weight=1.0, specific_weight=1.0)
