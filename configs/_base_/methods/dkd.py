"""Decoupled knowledge distillation from a linear probe of the teacher.

As soft_target.py, with the two parts of the divergence weighted apart: alpha
1, beta 8 and T = 4 are the DKD paper's for CIFAR-100 (arXiv 2203.08679); they
were not tuned here.
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
        dkd=dict(
            loss=dict(type='DKD', alpha=1.0, beta=8.0, temperature=4.0),
            on=('student.logits', 'probe.logits'),
        ),
    ),
)
