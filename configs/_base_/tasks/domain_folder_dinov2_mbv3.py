"""A folder of domains: DINOv2 ViT-S/14 teaches MobileNetV3-small, 96 px.

The teacher sees the student's crop at 126 px, four views of an image, and is
asked once about each.
"""

_base_ = [
    '../datasets/domain_folder_96.py',
    '../students/mobilenet_v3_small.py',
    '../teachers/{{$TEACHER:dinov2_vits14}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=dict(type='CachedTeacher', teacher=_base_.teacher),
    input_size=_base_.image_size,
)
find_unused_parameters = False
