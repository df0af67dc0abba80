"""Any images and any sentences, unpaired and without labels, at 224 px.

DATA_ROOT holds images in folders of any kind, CORPUS is a text file with one
sentence a line, TEST_ROOT holds class folders to be tested on. The teacher
sees the middle of each image, as CLIP does, and is asked once about it; the
student's crops are DIME-FM's.
"""

_base_ = './two_stream.py'

data_root = '{{$DATA_ROOT:data/images}}'
corpus = '{{$CORPUS:data/corpus.txt}}'
test_root = '{{$TEST_ROOT:data/imagenet/val}}'
task = 'images and texts, unpaired'
image_size = 224

data_preprocessor = dict(num_classes=None)

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
teacher_pipeline = [
    test_pipeline[0],
    dict(test_pipeline[1], scale=image_size),
    *test_pipeline[2:],
]
train_pipeline = [
    test_pipeline[0],
    test_pipeline[1],
    dict(
        type='RandomResizedCrop',
        scale=image_size,
        crop_ratio_range=(0.08, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=640,
    num_workers=8,
    dataset=dict(
        unlabelled=dict(
            type='ImageFolder', data_root=data_root, pipeline=train_pipeline
        ),
        pipelines=dict(teacher=teacher_pipeline),
        clean=('teacher',),
    ),
    sampler=dict(labelled=0, unlabelled=640),
)
# tools/zero_shot.py looks at these; nothing is evaluated in between.
test_dataloader = dict(
    batch_size=256,
    num_workers=8,
    dataset=dict(
        type='CustomDataset',
        data_root=test_root,
        pipeline=test_pipeline,
    ),
)
val_dataloader = None
val_evaluator = None

auto_scale_lr = dict(base_batch_size=640)
