"""FixMatch (arXiv 2001.07685): sure answers to the weak view, on a strong one.

Threshold .95 and weight 1 are second-hand; as many unlabelled as labelled
images a batch, not seven times as many, is ours.
"""

method = dict(
    type='Distiller',
    terms=dict(
        consistency=dict(
            loss=dict(type='PseudoLabel', threshold=0.95),
            on=('student@strong.logits', 'student.logits'),
            streams='unlabelled',
        ),
    ),
)
