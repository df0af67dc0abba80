"""KD++ (arXiv 2305.17007): along the class mean, and long.

The weight 2 is ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='NormDirection'),
            streams='labelled',
            weight=2.0,
        )
    )
)
