"""ImageNet at 224 px, 1 % of its training images labelled.

LABEL_LIST is SimCLR's list of labelled images, one bare file name a line, put
into DATA_ROOT; `LABEL_LIST=draw` draws 1 % of every class with SEED instead.
All training images, the labelled ones included, are the unlabelled stream;
tested on the 50 000 validation images. Augmentation and statistics are those
of MMPretrain's ImageNet configs.
"""

_base_ = './two_stream.py'

data_root = '{{$DATA_ROOT:data/imagenet}}'
label_list = '{{$LABEL_LIST:meta/1percent.txt}}'
label_fraction = 0.01
task = f'imagenet, {label_fraction:.0%} of the labels ({label_list})'
image_size = 224

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

unlabelled = dict(
    type='ImageNetSubset',
    data_root=data_root,
    split='train',
    pipeline=train_pipeline,
)

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    dataset=dict(
        labelled=dict(
            unlabelled,
            ann_file=None if label_list == 'draw' else label_list,
            fraction=label_fraction if label_list == 'draw' else None,
            seed={{'$SEED:0'}},
        ),
        unlabelled=unlabelled,
    ),
    sampler=dict(unlabelled=192),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=8,
    dataset=dict(unlabelled, split='val', pipeline=test_pipeline),
)
test_dataloader = val_dataloader

auto_scale_lr = dict(base_batch_size=256)
