"""ViT-B/16 likewise, with stochastic depth."""

_base_ = './vit_small_deit.py'

student = dict(
    backbone=dict(arch='deit-base', drop_path_rate=0.1),
    head=dict(in_channels=768),
)
