"""GKD (arXiv 2603.02554): the student's queries read the teacher.

The weight is ours.
"""

_base_ = './fitnet.py'

method = dict(
    terms=dict(
        hint=dict(
            loss=dict(_delete_=True, type='MSE'),
            on=('student.tokens', 'teacher.tokens'),
            connector=dict(_delete_=True, type='QueryConnector'),
            weight=20.0,
        )
    )
)
