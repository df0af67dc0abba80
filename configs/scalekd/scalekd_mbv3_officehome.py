"""ScaleKD, DINOv2 ViT-B/14 to MobileNetV3-large on OfficeHome at 224 px."""

_base_ = [
    '../_base_/tasks/officehome_mbv3.py',
    '../_base_/schedules/adamw_finetune.py',
    '../_base_/methods/scalekd.py',
]

model = dict(**_base_.method)
