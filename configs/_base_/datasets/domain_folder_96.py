"""Any `DATA_ROOT/<domain>/<class>/*.jpg` at 96 px; SOURCE alone is labelled.

Class names come from the folders. TARGET's labels are read for the evaluation
only; the training batches do not contain them.
"""

_base_ = './two_stream.py'

data_root = '{{$DATA_ROOT:data/domains}}'
source = '{{$SOURCE:art_painting}}'
target = '{{$TARGET:photo}}'
task = f'{source}->{target}'
image_size = 96

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

labelled = dict(type='DomainFolder', data_root=data_root, domain=source)
unlabelled = dict(labelled, domain=target, classes_from=source)

train_dataloader = dict(
    dataset=dict(
        labelled=dict(labelled, pipeline=train_pipeline),
        unlabelled=dict(unlabelled, pipeline=train_pipeline),
    ),
    sampler=dict(num_views=4),
)
val_dataloader = dict(dataset=dict(unlabelled, pipeline=test_pipeline))
test_dataloader = val_dataloader

# The macro recall is the mean of the per-class accuracies.
val_evaluator = [
    dict(type='Accuracy', topk=1),
    dict(type='SingleLabelMetric', items=['recall', 'f1-score']),
]
test_evaluator = val_evaluator
