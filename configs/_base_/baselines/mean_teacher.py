"""Mean teacher (arXiv 1703.01780): agree with the student's own average.

The average looks at the student's view, the student at a strong one of the
unlabelled images. KL in place of the squared error of probabilities, the
weight and its ramp over two fifths of the run are ours.
"""

method = dict(
    type='Distiller',
    networks=dict(average=dict(type='AveragedStudent', momentum=0.99)),
    terms=dict(
        consistency=dict(
            loss=dict(type='KLDivergence', temperature=1.0),
            on=('student@strong.logits', 'average.logits'),
            streams='unlabelled',
            weight=dict(type='Ramp', to=1.0, over=0.4),
        ),
    ),
)
