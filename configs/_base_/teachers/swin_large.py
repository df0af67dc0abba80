"""Swin-L at 224 px with its ImageNet-1k head; last tokens 7 x 7, 1536-d.

Weights: timm's `swin_large_patch4_window7_224.ms_in22k_ft_in1k`, fetched by
timm, or a local file named with `checkpoint='swin_large.safetensors'`.
"""

teacher = dict(
    type='TimmTeacher',
    model_name='swin_large_patch4_window7_224.ms_in22k_ft_in1k',
    pretrained=True,
)
