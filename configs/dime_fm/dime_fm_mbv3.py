"""DIME-FM: CLIP ViT-L/14 teaches MobileNetV3-large, a student of ours."""

_base_ = [
    '../_base_/tasks/images_and_texts_mbv3.py',
    '../_base_/schedules/adamw_dime_fm.py',
    '../_base_/methods/dime_fm.py',
]

model = dict(**_base_.method)
