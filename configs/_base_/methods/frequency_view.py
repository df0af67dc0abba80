"""ScaleKD's two views of a map, with and without its mean.

Behind one cross-attention projector; weight 4 is ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='DualView'),
            on=('student.maps.-1', 'teacher.tokens'),
            connector=dict(_delete_=True, type='CrossAttentionConnector'),
            weight=4.0,
        )
    )
)
