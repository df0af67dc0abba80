"""Solar cells as two domains; the teacher sees every one whole, at 192 px.

Its view draws nothing at random, so it is asked once about each cell and the
student gets a new view in every epoch.
"""

_base_ = './elpv_domains_96.py'

teacher_pipeline = [
    _base_.test_pipeline[0],
    dict(_base_.test_pipeline[1], scale=(192, 192)),
    *_base_.test_pipeline[2:],
]

train_dataloader = dict(
    dataset=dict(pipelines=dict(teacher=teacher_pipeline), clean=('teacher',)),
    sampler=dict(num_views=None),
)
