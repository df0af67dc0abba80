"""FROSTER (arXiv 2402.03241): the feature by a residual, and its cosine.

The feature must be as wide as the teacher's: the config widens the student's
last hidden layer for that, which is ours, as is weight 1.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='Cosine'),
            connector=dict(_delete_=True, type='ResidualConnector'),
            weight=1.0,
        )
    )
)
