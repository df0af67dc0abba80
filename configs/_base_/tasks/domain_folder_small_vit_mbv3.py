"""A folder of domains: a small ViT teaches MobileNetV3-small, 96 px.

The ViT was fitted to the labelled images. It sees the student's crop, four
views of an image, and is asked once about each.
"""

_base_ = [
    '../datasets/domain_folder_96.py',
    '../students/mobilenet_v3_small.py',
    '../teachers/{{$TEACHER:small_vit}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=dict(type='CachedTeacher', teacher=_base_.teacher),
    input_size=_base_.image_size,
)
find_unused_parameters = False
