"""Soft targets alone of the same ViT, at ScaleKD's share and temperature."""

_base_ = [
    '../_base_/tasks/domain_folder_small_vit_mbv3.py',
    '../_base_/schedules/adamw_short.py',
]

custom_hooks = [*_base_.custom_hooks, dict(type='TeacherMetricsHook')]

model = dict(
    type='Distiller',
    supervised_weight=0.5,
    terms=dict(
        kd=dict(
            loss=dict(type='KLDivergence', temperature=1.0),
            on=('student.logits', 'teacher.logits'),
            weight=0.5,
        ),
    ),
)
