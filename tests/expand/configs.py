"""Configs of a student alone, in MMPretrain's way, for these tests."""

from mmengine.config import Config

MEAN = [123.675, 116.28, 103.53]
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=32),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
TEACHER = dict(
    type='TimmTeacher', model_name='test_efficientnet', input_size=None
)


def folder(root, domain, pipeline=PIPELINE):
    """Images of classes, as MMPretrain reads them."""
    return dict(
        type='CustomDataset',
        data_prefix=str(root / domain),
        pipeline=pipeline,
    )


def student_alone(root, distill=None, **changes):
    """A config for ImageNet's classes, on images of others."""
    config = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='MobileNetV3', arch='small'),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead', num_classes=1000, in_channels=576
                ),
            ),
            data_preprocessor=dict(
                num_classes=1000, mean=MEAN, std=MEAN, to_rgb=True
            ),
            train_dataloader=dict(
                batch_size=2,
                num_workers=0,
                dataset=folder(root, 'art'),
                sampler=dict(type='DefaultSampler', shuffle=True),
            ),
            val_dataloader=dict(
                batch_size=4,
                num_workers=0,
                dataset=folder(root, 'photo'),
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            val_evaluator=dict(type='Accuracy', topk=(1, 5)),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.01, weight_decay=1e-4),
                paramwise_cfg=dict(norm_decay_mult=0.0),
            ),
            param_scheduler=[
                dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=4),
                dict(type='MultiStepLR', by_epoch=True, milestones=[1, 2]),
            ],
            train_cfg=dict(by_epoch=True, max_epochs=2),
            val_cfg=dict(),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', interval=1)
            ),
            randomness=dict(seed=None),
            auto_scale_lr=dict(base_batch_size=2),
        )
    )
    config.distill = dict(
        teacher=TEACHER, unlabelled=str(root / 'photo'), **(distill or {})
    )
    for name, value in changes.items():
        config.merge_from_dict({name.replace('__', '.'): value})
    return config
