"""DIME-FM: CLIP ViT-L/14 teaches ViT-B/32, the paper's recipe."""

_base_ = [
    '../_base_/tasks/images_and_texts_vitb32.py',
    '../_base_/schedules/adamw_dime_fm.py',
    '../_base_/methods/dime_fm.py',
]

model = dict(**_base_.method)
