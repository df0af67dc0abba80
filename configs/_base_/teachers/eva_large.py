"""EVA-L/14 at 224 px with its ImageNet-1k head; 16 x 16 tokens, 1024-d.

A BEiT-L/14 by its form; its weights are for 196 px, and timm resamples the
positions. Weights: timm's `eva_large_patch14_196.in22k_ft_in1k`, fetched by
timm, or a local file named with `checkpoint='eva_large.safetensors'`.
"""

teacher = dict(
    type='TimmTeacher',
    model_name='eva_large_patch14_196.in22k_ft_in1k',
    pretrained=True,
    input_size=224,
)
