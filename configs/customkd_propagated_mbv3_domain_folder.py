"""CustomKD with propagated labels on any `DATA_ROOT/<domain>/<class>/*.jpg`.

MobileNetV3-small from scratch at 96 px; EfficientNet-Lite2 sees every image
once, whole, at 192 px. CustomKD as the paper has it:
customkd_mbv3_domain_folder.py.
"""

_base_ = [
    './_base_/tasks/domain_folder_clean192_mbv3.py',
    './_base_/schedules/adamw_short_alternating.py',
    './_base_/methods/propagated.py',
]

model = dict(**_base_.method)
