"""Relational KD (arXiv 1904.05068): distances and angles of samples.

Distances and angles 1 : 2 in the loss are the paper's; weight 25 is ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='RKD'), connector=None, weight=25.0
        )
    )
)
