"""Solar cells, the same crop at 192 px for the teacher.

EfficientNet-Lite2 teaches MobileNetV3-small, which sees 96 px. The
teacher is asked once about each of four views of an image.
"""

_base_ = [
    '../datasets/elpv_96_teacher192.py',
    '../students/mobilenet_v3_small.py',
    '../teachers/{{$TEACHER:efficientnet_lite2}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=dict(type='CachedTeacher', teacher=_base_.teacher),
    input_size=_base_.image_size,
)

# Its feature is standardised: chosen on the validation cells.
custom_hooks = [*_base_.custom_hooks, dict(type='StandardizeTeacherHook')]
