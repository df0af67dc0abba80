"""ImageNet at 224 px, all of its training images labelled.

RandAugment and random erasing as in MMPretrain's recipes of DeiT and Swin;
the learning rate is for 16 processes of 64 images, a batch of 1024.
"""

_base_ = './two_stream.py'

data_root = '{{$DATA_ROOT:data/imagenet}}'
task = 'imagenet, all labels'
image_size = 224
#: That the learning rate of the config is for.
processes = 16

load = dict(type='LoadImageFromFile')
crop = dict(
    type='RandomResizedCrop',
    scale=image_size,
    backend='pillow',
    interpolation='bicubic',
)
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
augment = dict(
    type='RandAugment',
    policies='timm_increasing',
    num_policies=2,
    total_level=10,
    magnitude_level=9,
    magnitude_std=0.5,
    hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),
)
erase = dict(
    type='RandomErasing',
    erase_prob=0.25,
    mode='rand',
    min_area_ratio=0.02,
    max_area_ratio=1 / 3,
    fill_color=[103.53, 116.28, 123.675],
    fill_std=[57.375, 57.12, 58.395],
)
pack = dict(type='PackInputs')
train_pipeline = [load, crop, flip, augment, erase, pack]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='ResizeEdge',
        scale=256,
        edge='short',
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='CenterCrop', crop_size=image_size),
    dict(type='PackInputs'),
]

images = dict(type='ImageNetSubset', data_root=data_root)

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    dataset=dict(labelled=dict(images, pipeline=train_pipeline)),
    sampler=dict(streams=('labelled',), unlabelled=0, epoch_length='labelled'),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    dataset=dict(images, split='val', pipeline=test_pipeline),
)
test_dataloader = val_dataloader

auto_scale_lr = dict(base_batch_size=1024)
