"""Soft-target distillation from a linear probe of the teacher.

The probe is trained alongside on the labelled images; it, T = 4 and the
weight 1 are our choices (docs/methods.md, Baselines).
"""

method = dict(
    type='Distiller',
    networks=dict(probe=dict(type='LinearProbe')),
    terms=dict(
        probe=dict(
            loss=dict(type='CrossEntropy'),
            on=('probe.logits', 'batch.targets'),
            streams='labelled',
        ),
        kd=dict(
            loss=dict(type='KLDivergence', temperature=4.0),
            on=('student.logits', 'probe.logits'),
        ),
    ),
)
