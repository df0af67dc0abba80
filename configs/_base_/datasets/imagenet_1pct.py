"""ImageNet at 224 px, 1 % of its training images labelled.

LABEL_LIST is SimCLR's list of labelled images, one bare file name a line, put
into DATA_ROOT; `LABEL_LIST=draw` draws 1 % of every class with SEED instead.
All training images, the labelled ones included, are the unlabelled stream;
tested on the 50 000 validation images.

Augmentation and statistics are those of MMPretrain's ImageNet configs; batch
sizes are [ours].
"""

data_root = '{{$DATA_ROOT:data/imagenet}}'
label_list = '{{$LABEL_LIST:meta/1percent.txt}}'
label_fraction = 0.01
task = f'imagenet, {label_fraction:.0%} of the labels ({label_list})'
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
    dict(type='RandomResizedCrop', scale=image_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=image_size),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    dataset=dict(
        type='TwoStreamDataset',
        seed={{'$SEED:0'}},
        labelled=dict(
            type='ImageNetSubset',
            data_root=data_root,
            split='train',
            ann_file=None if label_list == 'draw' else label_list,
            fraction=label_fraction if label_list == 'draw' else None,
            seed={{'$SEED:0'}},
            pipeline=train_pipeline,
        ),
        unlabelled=dict(
            type='ImageNetSubset',
            data_root=data_root,
            split='train',
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(
        type='TwoStreamSampler',
        labelled=64,
        unlabelled=192,
        epoch_length=epoch_length,
    ),
    batch_sampler=dict(type='TwoStreamBatchSampler'),
)

val_dataloader = dict(
    batch_size=256,
    num_workers=8,
    dataset=dict(
        type='ImageNetSubset',
        data_root=data_root,
        split='val',
        pipeline=test_pipeline,
        test_mode=True,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='Accuracy', topk=1),
    dict(type='SingleLabelMetric', items=['f1-score']),
]
test_evaluator = val_evaluator

# The learning rates of the configs are meant for one process.
auto_scale_lr = dict(base_batch_size=256)
