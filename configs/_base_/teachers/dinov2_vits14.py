"""DINOv2 ViT-S/14 at 126 px; normalised CLS token, 384-d.

Weights: timm's `vit_small_patch14_dinov2.lvd142m`, fetched by timm, or a local
file named with `checkpoint='dinov2_vits14.safetensors'`. 126 px is the
multiple of 14 next to a student's 128.
"""

teacher = dict(
    type='TimmTeacher',
    model_name='vit_small_patch14_dinov2.lvd142m',
    pretrained=True,
    input_size=126,
)
