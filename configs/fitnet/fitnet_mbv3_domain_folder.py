"""FitNet-style feature distillation on a folder of domains."""

_base_ = [
    '../_base_/tasks/domain_folder_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/fitnet.py',
]

model = dict(**_base_.method)
