"""CustomKD on any `DATA_ROOT/<domain>/<class>/*.jpg` at 128 px, cached.

MobileNetV3-small from scratch, EfficientNet-Lite2 teacher. The weights are
those of the 96 px config.
"""

_base_ = [
    './_base_/tasks/domain_folder_128_mbv3.py',
    './_base_/schedules/adamw_short_alternating.py',
]

model = dict(type='CustomKD', general_weight=20.0, specific_weight=5.0)
