"""DANN (arXiv 1409.7495): features that do not tell the streams apart.

For unlabelled images of another domain. The weight .1 and its ramp over half
of the run are ours: it ramps the whole term, the discriminator's own training
with it, where the paper ramps the reversed gradient alone.
"""

method = dict(
    type='Distiller',
    terms=dict(
        domain=dict(
            loss=dict(type='CrossEntropy'),
            on=('student.feature', 'batch.stream'),
            connector=dict(type='Discriminator', reverse=True),
            weight=dict(type='Ramp', to=0.1, over=0.5),
        ),
    ),
)
