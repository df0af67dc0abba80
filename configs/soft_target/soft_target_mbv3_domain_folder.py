"""Soft-target distillation on a folder of domains."""

_base_ = [
    '../_base_/tasks/domain_folder_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/soft_target.py',
]

model = dict(**_base_.method)
