"""DMAE (arXiv 2208.12256): tokens on the sphere, by their L1 distance.

No patch is masked: a convolutional student has none to leave out; and the
teacher's last tokens, where the paper stops at an earlier block (both ours).
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='L1', normalize=True),
            on=('student.tokens', 'teacher.tokens'),
            weight=10.0,
        )
    )
)
