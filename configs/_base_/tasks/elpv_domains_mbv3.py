"""Solar cells of two types: EfficientNet-Lite2 teaches MobileNetV3-small.

At 96 px. Data: see ../datasets/elpv_domains_96.py.
"""

_base_ = [
    '../datasets/elpv_domains_96.py',
    '../students/mobilenet_v3_small.py',
    '../teachers/{{$TEACHER:efficientnet_lite2}}.py',
    '../default_runtime.py',
]

# The images cycle through four views, so the teacher is asked once about each
# and not in every epoch. Its feature is standardised, as for few labels.
model = dict(
    student=_base_.student,
    teacher=dict(type='CachedTeacher', teacher=_base_.teacher),
    input_size=_base_.image_size,
)

custom_hooks = [*_base_.custom_hooks, dict(type='StandardizeTeacherHook')]
