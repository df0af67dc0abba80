"""PELA (arXiv 2310.10700): a student of low rank and the whole one's feature.

The weight is ours.
"""

method = dict(
    type='Distiller',
    terms=dict(
        feature=dict(loss=dict(type='MSE'), connector=None, weight=20.0)
    ),
)
