"""Two teachers' features: PHI-S (arXiv 2410.01680) and UNIC (2408.05088).

`StandardizeTeacherHook(rotate='hadamard')` in the config gives both features
one unit in every direction (PHI-S), and the term that is not the larger one is
dropped in half of the steps (UNIC). The squared error through a linear
connector, and the weights, are ours.
"""

sources = ('first', 'second')

method = dict(
    type='Distiller',
    terms={
        name: dict(
            loss=dict(type='MSE'),
            on=('student.feature', f'{name}.feature'),
            connector=dict(type='LinearConnector'),
            weight=10.0,
        )
        for name in sources
    },
    dropping=dict(terms=sources, probability=0.5),
)
