"""OpenCLIP ViT-B/16 of LAION-2B at its 224 px; projected embedding, 512-d.

Weights: open_clip's tag `laion2b_s34b_b88k`, fetched by open_clip, or a local
file named with `checkpoint='open_clip_vitb16.safetensors'`.
"""

teacher = dict(
    type='OpenCLIPTeacher',
    model_name='ViT-B-16',
    pretrained='laion2b_s34b_b88k',
)
