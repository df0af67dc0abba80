"""Solar cells: EfficientNet-Lite2 teaches MobileNetV3-small at 96 px."""

_base_ = [
    '../datasets/elpv_96.py',
    '../students/mobilenet_v3_small.py',
    '../teachers/{{$TEACHER:efficientnet_lite2}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=_base_.teacher,
    input_size=_base_.image_size,
)

# Every image is augmented anew, so the teacher is asked every time. Its
# feature is standardised: chosen on the validation cells.
custom_hooks = [*_base_.custom_hooks, dict(type='StandardizeTeacherHook')]
