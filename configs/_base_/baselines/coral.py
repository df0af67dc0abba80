"""Deep CORAL (arXiv 1607.01719): equal covariances in both streams.

The weight 10 is ours.
"""

method = dict(
    type='Distiller',
    terms=dict(
        covariance=dict(
            loss=dict(type='CORAL'),
            on=('student.feature', 'batch.stream'),
            weight=10.0,
        ),
    ),
)
