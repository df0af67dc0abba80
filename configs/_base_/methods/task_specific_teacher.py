"""Task-specific distillation from a teacher with a head for the task.

L = (1 - a) CE + a KL_T, CE on labelled images, KL on all (docs/
good_practices.md). a = 0.5 and T = 2 are ours.
"""

method = dict(
    type='Distiller',
    supervised_weight=0.5,
    terms=dict(
        kd=dict(
            loss=dict(type='KLDivergence', temperature=2.0),
            on=('student.logits', 'teacher.logits'),
            weight=0.5,
        ),
    ),
)
