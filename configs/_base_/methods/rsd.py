"""Redundancy suppression (arXiv 2507.21844) behind its projector.

The weight .1 is the paper's.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='RSD'),
            connector=dict(
                _delete_=True,
                type='MLPConnector',
                expansion=2,
                norm_cfg=dict(type='BN1d'),
                bias=False,
            ),
            weight=0.1,
        )
    )
)
