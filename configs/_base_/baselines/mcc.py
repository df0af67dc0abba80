"""Minimum class confusion (arXiv 1912.03699) on the unlabelled images.

T = 2.5 and weight 1 are second-hand.
"""

method = dict(
    type='Distiller',
    terms=dict(
        confusion=dict(
            loss=dict(type='MinimumClassConfusion'),
            on=('student.logits', 'student.logits'),
            streams='unlabelled',
        ),
    ),
)
