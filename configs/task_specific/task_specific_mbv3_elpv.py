"""Task-specific distillation on ELPV solar cells."""

_base_ = ['../_base_/runs/elpv.py', '../_base_/methods/task_specific.py']

model = dict(**_base_.method)
