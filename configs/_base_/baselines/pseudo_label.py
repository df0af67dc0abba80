"""Pseudo-labels: the student's own sure answers are labels (Lee, 2013).

With a threshold, as all later methods have; .95 is FixMatch's, the ramp over
two fifths of the run is ours.
"""

method = dict(
    type='Distiller',
    terms=dict(
        pseudo=dict(
            loss=dict(type='PseudoLabel', threshold=0.95),
            on=('student.logits', 'student.logits'),
            streams='unlabelled',
            weight=dict(type='Ramp', to=1.0, over=0.4),
        ),
    ),
)
