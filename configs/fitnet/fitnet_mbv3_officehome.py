"""FitNet-style feature distillation on OfficeHome."""

_base_ = [
    '../_base_/tasks/officehome_mbv3.py',
    '../_base_/schedules/adamw_finetune.py',
    '../_base_/methods/fitnet.py',
]

model = dict(**_base_.method)
