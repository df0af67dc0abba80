"""CustomKD's task-general term alone on OfficeHome."""

_base_ = [
    '../_base_/tasks/officehome_mbv3.py',
    '../_base_/schedules/adamw_finetune.py',
]

model = dict(type='CustomKD', general_weight=1.0, specific_weight=0.0)
