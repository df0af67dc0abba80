"""DKD on OfficeHome."""

_base_ = [
    '../_base_/tasks/officehome_mbv3.py',
    '../_base_/schedules/adamw_finetune.py',
    '../_base_/methods/dkd.py',
]

model = dict(**_base_.method)
