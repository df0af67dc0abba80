"""VkD (arXiv 2403.06213): an orthogonal projection, a normalised target.

The weight is ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='SmoothL1', layer_norm=True),
            connector=dict(_delete_=True, type='OrthogonalConnector'),
            weight=1.0,
        )
    )
)
