"""OfficeHome at 224 px: SOURCE labelled, TARGET not, tested on all of TARGET.

Put the four folders Art, Clipart, Product and `Real World` (or `Real_World`)
of the official archive under DATA_ROOT.
"""

data_root = '{{$DATA_ROOT:data/OfficeHome}}'
source = '{{$SOURCE:Art}}'
target = '{{$TARGET:Clipart}}'
task = f'{source}->{target}'
image_size = 224
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
        type='RandomResizedCrop', scale=image_size, crop_ratio_range=(0.4, 1.0)
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='ColorJitter',
        brightness=0.2,
        contrast=0.2,
        saturation=0.2,
        backend='cv2',
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=image_size),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=128,
    num_workers=4,
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
    ),
    batch_sampler=dict(type='TwoStreamBatchSampler'),
)

val_dataloader = dict(
    batch_size=128,
    num_workers=4,
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
