"""CustomKD on any `DATA_ROOT/<domain>/<class>/*.jpg` (SOURCE -> TARGET).

MobileNetV3-small from scratch, EfficientNet-Lite2 teacher, 96 px. The weights
20 and 5 of the two feature terms are [ours].
"""

_base_ = [
    './_base_/datasets/domain_folder_96.py',
    './_base_/students/mobilenet_v3_small.py',
    './_base_/teachers/efficientnet_lite2.py',
    './_base_/schedules/adamw_short.py',
    './_base_/default_runtime.py',
]

model = dict(
    type='CustomKD',
    student=_base_.student,
    teacher=_base_.teacher,
    input_size=_base_.image_size,
    general_weight=20.0,
    specific_weight=5.0,
)

# The images cycle through four views, so the teacher is asked once about each
# and not in every epoch.
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='TeacherMemoryHook'),
]
