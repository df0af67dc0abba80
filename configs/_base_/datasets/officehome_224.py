"""OfficeHome at 224 px: SOURCE labelled, TARGET not, tested on all of TARGET.

Put the four folders Art, Clipart, Product and `Real World` (or `Real_World`)
of the official archive under DATA_ROOT.
"""

_base_ = './two_stream.py'

data_root = '{{$DATA_ROOT:data/OfficeHome}}'
source = '{{$SOURCE:Art}}'
target = '{{$TARGET:Clipart}}'
task = f'{source}->{target}'
image_size = 224

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

labelled = dict(type='DomainFolder', data_root=data_root, domain=source)
unlabelled = dict(labelled, domain=target, classes_from=source)

train_dataloader = dict(
    num_workers=4,
    dataset=dict(
        labelled=dict(labelled, pipeline=train_pipeline),
        unlabelled=dict(unlabelled, pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    num_workers=4, dataset=dict(unlabelled, pipeline=test_pipeline)
)
test_dataloader = val_dataloader

# The macro recall is the mean of the per-class accuracies.
val_evaluator = [
    dict(type='Accuracy', topk=1),
    dict(type='SingleLabelMetric', items=['recall', 'f1-score']),
]
test_evaluator = val_evaluator
