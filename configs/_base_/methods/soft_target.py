"""Soft-target distillation from a linear probe of the teacher.

METHODS 2. The probe is trained alongside on the labelled images [ours];
T = 4 and the weight 1 are [ours].
"""

method = dict(
    type='Distiller',
    probe=True,
    terms=dict(
        kd=dict(
            loss=dict(type='KLDivergence', temperature=4.0),
            on='logits',
            weight=1.0,
        )
    ),
)
