"""The same, with the teacher's normalisation layers adapted to the task.

Adaptation in place of the probe: `tools/adapt_teacher.py --mode norm` with
this config writes the file.
"""

_base_ = './probed.py'

model = dict(
    teacher=dict(
        teacher=dict(
            _delete_=True,
            type='AdaptedTeacher',
            teacher=_base_.teacher,
            adaptation=f'{_base_.heads}/norm_{_base_.whose}.safetensors',
            num_classes='auto',
        )
    )
)
