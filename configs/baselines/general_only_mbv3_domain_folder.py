"""CustomKD's task-general term alone on a folder of domains."""

_base_ = [
    '../_base_/tasks/domain_folder_mbv3.py',
    '../_base_/schedules/adamw_short.py',
]

model = dict(type='CustomKD', general_weight=20.0, specific_weight=0.0)
