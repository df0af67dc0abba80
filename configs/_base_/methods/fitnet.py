"""FitNet-style: match the teacher's feature through a connector.

METHODS 2. The weight 20 is [ours].
"""

method = dict(
    type='Distiller',
    terms=dict(
        hint=dict(
            loss=dict(type='MSE'),
            on='feature',
            connector=dict(type='LinearConnector'),
            weight=20.0,
        )
    ),
)
