"""Similarity-preserving KD (arXiv 1907.09682): Gram matrices of a batch.

The relation of DisWOT as well; the weight 3000 is second-hand.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='GramRelation'),
            connector=None,
            weight=3000.0,
        )
    )
)
