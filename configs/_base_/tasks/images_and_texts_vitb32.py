"""Images and a corpus: CLIP ViT-L/14 teaches ViT-B/32."""

_base_ = [
    '../datasets/images_and_texts_224.py',
    '../students/vit_b32_embedding.py',
    '../teachers/{{$TEACHER:openclip_vitl14}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=dict(type='CachedTeacher', teacher=_base_.teacher),
    networks=dict(text=dict(type='TextCorpus', file=_base_.corpus)),
    input_size=_base_.image_size,
)
custom_hooks = [*_base_.custom_hooks, dict(type='TextCorpusHook')]
