"""OFA-KD (arXiv 2310.19444): stages of the student, taken to logits.

Three exits of earlier stages beside the student's own logits, epsilon 1.5 (1
is soft cross entropy) and equal weights: ours.
"""

stages = (1, 2, 3)
loss = dict(type='OFA', epsilon=1.5)

method = dict(
    type='Distiller',
    networks=dict(
        probe=dict(type='LinearProbe'),
        exits=dict(type='StageExits', stages=stages),
    ),
    terms=dict(
        probe=dict(
            loss=dict(type='CrossEntropy'),
            on=('probe.logits', 'batch.targets'),
            streams='labelled',
        ),
        kd=dict(loss=loss, on=('student.logits', 'probe.logits')),
        **{
            f'exit_{index}': dict(
                loss=loss,
                on=(f'exits.more.{index}', 'probe.logits'),
            )
            for index in stages
        },
    ),
)
