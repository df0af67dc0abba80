"""OfficeHome, the teacher asked once about each of four views.

The features are kept in `work_dirs/<config>/teacher_cache`, or where
`model.teacher.cache_dir` says; `tools/cache_teacher.py` fills it ahead.
"""

_base_ = './customkd_mbv3_officehome.py'

model = dict(
    teacher=dict(
        _delete_=True, type='CachedTeacher', teacher=_base_.model.teacher
    )
)
train_dataloader = dict(sampler=dict(num_views=4))
