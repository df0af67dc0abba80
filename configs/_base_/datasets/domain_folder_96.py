"""Any `DATA_ROOT/<domain>/<class>/*.jpg` at 96 px; SOURCE alone is labelled.

Class names come from the folders. TARGET's labels are read for the evaluation
only; the training batches do not contain them.
"""

data_root = '{{$DATA_ROOT:data/domains}}'
source = '{{$SOURCE:art_painting}}'
target = '{{$TARGET:photo}}'
task = f'{source}->{target}'
image_size = 96
epoch_length = 'longer'

data_preprocessor = dict(
    num_classes='auto',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop', scale=image_size, crop_ratio_range=(0.5, 1.0)
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='ColorJitter', brightness=0.2, contrast=0.2, backend='cv2'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(image_size, image_size), interpolation='area'),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    dataset=dict(
        type='TwoStreamDataset',
        seed={{'$SEED:0'}},
        labelled=dict(
            type='DomainFolder',
            data_root=data_root,
            domain=source,
            pipeline=train_pipeline,
        ),
        unlabelled=dict(
            type='DomainFolder',
            data_root=data_root,
            domain=target,
            classes_from=source,
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(
        type='TwoStreamSampler',
        labelled=64,
        unlabelled=64,
        epoch_length=epoch_length,
        num_views=4,
    ),
    batch_sampler=dict(type='TwoStreamBatchSampler'),
)

val_dataloader = dict(
    batch_size=128,
    num_workers=2,
    dataset=dict(
        type='DomainFolder',
        data_root=data_root,
        domain=target,
        classes_from=source,
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='Accuracy', topk=1),
    # The macro recall is the mean of the per-class accuracies.
    dict(type='SingleLabelMetric', items=['recall', 'f1-score']),
]
test_evaluator = val_evaluator

# The learning rates of the configs are meant for one process.
auto_scale_lr = dict(base_batch_size=128)
