"""A folder of domains: EfficientNet-Lite2 teaches MobileNetV3-small, 128 px.

The teacher is asked once about each view of each image; what it said is kept
on disk.
"""

_base_ = [
    '../datasets/domain_folder_128.py',
    '../students/mobilenet_v3_small.py',
    '../teachers/{{$TEACHER:efficientnet_lite2}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=dict(type='CachedTeacher', teacher=_base_.teacher),
    input_size=_base_.image_size,
)
