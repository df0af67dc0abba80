"""Good practices of task-specific distillation: probe, then distil.

`tools/probe_teacher.py` with this config writes the file below HEADS, one a
source and seed, that training with it reads. L = (1 - a) CE + a KL_T, with CE
on labelled images and KL on all; a = 0.5 and T = 2 are ours
(docs/good_practices.md).
"""

_base_ = [
    '../_base_/tasks/domain_folder_clean192_mbv3.py',
    '../_base_/schedules/adamw_short.py',
]

heads = '{{$HEADS:work_dirs/heads}}'
whose = f'{_base_.source}_{_base_.seed}'

custom_hooks = [*_base_.custom_hooks, dict(type='TeacherMetricsHook')]

model = dict(
    type='Distiller',
    teacher=dict(
        teacher=dict(
            _delete_=True,
            type='ProbedTeacher',
            teacher=_base_.teacher,
            probe=f'{heads}/probe_{whose}.safetensors',
            num_classes='auto',
        )
    ),
    supervised_weight=0.5,
    terms=dict(
        kd=dict(
            loss=dict(type='KLDivergence', temperature=2.0),
            on=('student.logits', 'teacher.logits'),
            weight=0.5,
        ),
    ),
)
