"""Deep mutual learning (arXiv 1706.00384): two students teach each other.

The config gives the peer's model; weight 1 is the paper's, second-hand.
"""

method = dict(
    type='Distiller',
    terms=dict(
        peer=dict(
            loss=dict(type='CrossEntropy'),
            on=('peer.logits', 'batch.targets'),
            streams='labelled',
        ),
        from_peer=dict(
            loss=dict(type='KLDivergence', temperature=1.0),
            on=('student.logits', 'peer.logits'),
        ),
        to_peer=dict(
            loss=dict(type='KLDivergence', temperature=1.0),
            on=('peer.logits', 'student.logits'),
        ),
    ),
)
