"""CustomKD on any `DATA_ROOT/<domain>/<class>/*.jpg` (SOURCE -> TARGET).

MobileNetV3-small from scratch, EfficientNet-Lite2 teacher, 96 px. The weights
20 and 5 of the feature terms are our choice (docs/results.md).
"""

_base_ = [
    './_base_/tasks/domain_folder_mbv3.py',
    './_base_/schedules/adamw_short_alternating.py',
]

model = dict(type='CustomKD', general_weight=20.0, specific_weight=5.0)
