"""CIFAR-100 at 32 px, 400 of its 50 000 training images labelled.

LABELS_PER_CLASS (4) images a class are drawn with SEED; all training images,
the labelled ones included, are the unlabelled stream; tested on the 10 000
test images. Put `cifar-100-python.tar.gz`, packed or unpacked, into DATA_ROOT.
Augmentation and statistics are those of MMPretrain's CIFAR-100 configs.
"""

_base_ = './two_stream.py'

data_root = '{{$DATA_ROOT:data/cifar100}}'
labels_per_class = {{'$LABELS_PER_CLASS:4'}}
task = f'cifar100, {labels_per_class} labels a class'
image_size = 32

# The dataset gives R, G, B like MMPretrain's; the pipelines begin by turning
# it into B, G, R, which is what `to_rgb=True` starts from, so that student,
# teacher and images read from files agree.
data_preprocessor = dict(
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
)

train_pipeline = [
    dict(type='PILToNumpy', to_bgr=True),
    dict(type='RandomCrop', crop_size=image_size, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='PILToNumpy', to_bgr=True),
    dict(type='PackInputs'),
]

unlabelled = dict(
    type='CIFAR',
    data_root=data_root,
    name='cifar100',
    split='train',
    pipeline=train_pipeline,
)

train_dataloader = dict(
    batch_size=256,
    dataset=dict(
        labelled=dict(
            unlabelled,
            labels_per_class=labels_per_class,
            seed={{'$SEED:0'}},
        ),
        unlabelled=unlabelled,
    ),
    sampler=dict(unlabelled=192),
)
val_dataloader = dict(
    batch_size=256,
    dataset=dict(unlabelled, split='test', pipeline=test_pipeline),
)
test_dataloader = val_dataloader

auto_scale_lr = dict(base_batch_size=256)
