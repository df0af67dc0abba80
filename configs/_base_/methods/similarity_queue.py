"""Similarities to a queue of the teacher's features (arXiv 2101.04731).

The weight 1 and the size of the queue are ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='SimilarityKL', size=1024),
            weight=1.0,
        )
    )
)
