"""Two students, of which the better one of each sample teaches the other.

After the bidirectional selective distillation of CNN and ViT; it looks at
labels, so it is of labelled images alone. Weight 1 is ours.
"""

_base_ = './mutual.py'

method = dict(
    terms=dict(
        from_peer=dict(
            loss=dict(_delete_=True, type='BetterPeer'), streams='labelled'
        ),
        to_peer=dict(
            loss=dict(_delete_=True, type='BetterPeer'), streams='labelled'
        ),
    )
)
