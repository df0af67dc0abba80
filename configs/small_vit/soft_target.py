"""Soft targets alone of the same ViT, at ScaleKD's share and temperature."""

_base_ = [
    '../_base_/tasks/domain_folder_small_vit_mbv3.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/methods/task_specific_teacher.py',
]

_base_.method.terms.kd.loss.temperature = 1.0
model = dict(**_base_.method)
