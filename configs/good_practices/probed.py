"""Good practices of task-specific distillation: probe, then distil.

`tools/probe_teacher.py` with this config writes the file below HEADS, one a
source and seed, that training with it reads (docs/good_practices.md).
"""

_base_ = [
    '../_base_/runs/domain_folder.py',
    '../_base_/methods/task_specific_teacher.py',
]

heads = '{{$HEADS:work_dirs/heads}}'
whose = f'{_base_.source}_{_base_.seed}'

model = dict(
    teacher=dict(
        teacher=dict(
            _delete_=True,
            type='ProbedTeacher',
            teacher=_base_.teacher,
            probe=f'{heads}/probe_{whose}.safetensors',
            num_classes='auto',
        )
    ),
    **_base_.method,
)
