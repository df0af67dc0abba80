"""Attention transfer (arXiv 1612.03928) between the last maps.

The weight 1000 is second-hand.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='AttentionTransfer'),
            on=('student.maps.-1', 'teacher.maps.-1'),
            connector=None,
            weight=1000.0,
        )
    )
)
