"""CustomKD's task-general term alone on ELPV solar cells."""

_base_ = [
    '../_base_/tasks/elpv_mbv3.py',
    '../_base_/schedules/adamw_short.py',
]

model = dict(type='CustomKD', general_weight=20.0, specific_weight=0.0)

train_cfg = dict(max_epochs=14)
