"""Half of a domain is unlabelled and the other half tested.

EfficientNet-Lite2 sees every image whole at 192 px, once, and teaches
MobileNetV3-small, which sees 96 px.
"""

_base_ = [
    '../datasets/domain_folder_96_halves_clean192.py',
    '../students/mobilenet_v3_small.py',
    '../teachers/{{$TEACHER:efficientnet_lite2}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=dict(type='CachedTeacher', teacher=_base_.teacher),
    input_size=_base_.image_size,
)
