"""ScaleKD, DINOv2 ViT-S/14 to MobileNetV3-small on a folder of domains."""

_base_ = [
    '../_base_/tasks/domain_folder_dinov2_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/scalekd.py',
]

model = dict(**_base_.method)
