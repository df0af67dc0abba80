"""FEDS' weights: a feature counts by its entropy.

The weight of the term is ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='WeightedMSE', weights='entropy'),
            weight=20.0,
        )
    )
)
