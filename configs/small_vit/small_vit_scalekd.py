"""ScaleKD from a ViT fitted to the labelled images to MobileNetV3-small."""

_base_ = [
    '../_base_/tasks/domain_folder_small_vit_mbv3.py',
    '../_base_/schedules/adamw_short.py',
]

custom_hooks = [*_base_.custom_hooks, dict(type='TeacherMetricsHook')]

# The teacher has a head for the task; the defaults of the weights are ours.
model = dict(type='ScaleKD')
