"""LAPTOP-Diff's weights: a feature counts by its inverse norm.

The weight of the term is ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(
                _delete_=True, type='WeightedMSE', weights='inverse_norm'
            ),
            weight=20.0,
        )
    )
)
