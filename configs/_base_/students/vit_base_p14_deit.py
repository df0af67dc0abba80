"""ViT-B/14, on the grid of a teacher with patches of 14 pixels."""

_base_ = './vit_base_deit.py'

student = dict(backbone=dict(patch_size=14))
