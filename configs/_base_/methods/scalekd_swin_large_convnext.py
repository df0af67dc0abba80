"""ScaleKD from Swin-L to ConvNeXt-T: fewer heads, scale 1."""

_base_ = './scalekd_swin_large.py'

method = dict(
    stage3=dict(num_heads=8, scale=1.0),
    stage4=dict(num_heads=16, scale=1.0),
)
