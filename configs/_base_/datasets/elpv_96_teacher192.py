"""Solar cells at 96 px; the teacher sees the student's crop at 192 px.

The crop is cut from the original image, so the teacher sees what was lost at
96 px. The images cycle through four views: it is asked once about each.
"""

_base_ = './elpv_96.py'

task = f'{_base_.task}, same crop'

teacher_pipeline = [
    _base_.train_pipeline[0],
    dict(_base_.train_pipeline[1], scale=192),
    *_base_.train_pipeline[2:],
]

train_dataloader = dict(
    dataset=dict(pipelines=dict(teacher=teacher_pipeline)),
    sampler=dict(num_views=4),
)
