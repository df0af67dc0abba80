"""MGD: hard cross pseudo-labels and self-similarity, on tokens.

The probe's sure answers are labels of the unlabelled images. Threshold and
weights are ours.
"""

_base_ = './soft_target.py'

method = dict(
    terms=dict(
        kd=dict(
            loss=dict(_delete_=True, type='PseudoLabel', threshold=0.8),
            streams='unlabelled',
        ),
        similarity=dict(
            loss=dict(type='SelfSimilarity'),
            on=('student.tokens', 'teacher.tokens'),
            weight=10.0,
        ),
    )
)
