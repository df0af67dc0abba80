"""Solar cells, the teacher asked once about each of four views.

Which is quick on a CPU: `bash tools/demo.sh` trains it.
"""

_base_ = './customkd_mbv3_elpv.py'

model = dict(
    teacher=dict(_delete_=True, type='CachedTeacher', teacher=_base_.teacher)
)
train_dataloader = dict(sampler=dict(num_views=4))
