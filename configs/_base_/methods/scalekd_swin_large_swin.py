"""ScaleKD from Swin-L to Swin-T: more heads, scale 1."""

_base_ = './scalekd_swin_large.py'

method = dict(
    stage3=dict(num_heads=24, scale=1.0),
    stage4=dict(num_heads=48, scale=1.0),
)
