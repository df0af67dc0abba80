"""A folder of domains: EfficientNet-Lite2 teaches MobileNetV3-small, 96 px."""

_base_ = [
    '../datasets/domain_folder_96.py',
    '../students/mobilenet_v3_small.py',
    '../teachers/{{$TEACHER:efficientnet_lite2}}.py',
    '../default_runtime.py',
]

# The images cycle through four views, so the teacher is asked once about each
# and not in every epoch.
model = dict(
    student=_base_.student,
    teacher=dict(type='CachedTeacher', teacher=_base_.teacher),
    input_size=_base_.image_size,
)
