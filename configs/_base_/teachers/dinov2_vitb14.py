"""DINOv2 ViT-B/14 at the student's 224 px; normalised CLS token, 768-d.

Weights: timm's `vit_base_patch14_dinov2.lvd142m`, fetched by timm, or a local
file named with `checkpoint='dinov2_vitb14.safetensors'`.
"""

teacher = dict(
    type='TimmTeacher',
    model_name='vit_base_patch14_dinov2.lvd142m',
    pretrained=True,
    input_size=224,
)
