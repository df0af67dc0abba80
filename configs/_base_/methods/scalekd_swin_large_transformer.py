"""ScaleKD from Swin-L to ViTs and Mixers: eight heads in each projector."""

_base_ = './scalekd_swin_large.py'

method = dict(stage3=dict(num_heads=8), stage4=dict(num_heads=8))
