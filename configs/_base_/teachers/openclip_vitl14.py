"""CLIP ViT-L/14 of OpenAI at its 224 px; projected embedding, 768-d.

Weights: open_clip's tag `openai`, fetched by open_clip, or a local file named
with `checkpoint='ViT-L-14.pt'`.
"""

teacher = dict(
    type='OpenCLIPTeacher',
    model_name='ViT-L-14',
    pretrained='openai',
)
