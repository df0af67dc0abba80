"""FitNet: match the teacher's feature through a connector.

The weight 20 is our choice (docs/methods.md, Baselines).
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
