"""Mean teacher on a folder of domains."""

_base_ = [
    '../_base_/runs/domain_folder_alone.py',
    '../_base_/baselines/mean_teacher.py',
]

model = dict(**_base_.method)
