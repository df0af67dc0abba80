"""EZAD: the L1 distance of normalised features, to an adapted teacher.

The teacher's normalisation layers were trained by `tools/adapt_teacher.py`.
The weight is ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='L1', normalize=True), weight=50.0
        )
    )
)
