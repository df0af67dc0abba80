"""The same at 128 px."""

_base_ = './domain_folder_96.py'

image_size = 128

train_pipeline = [
    _base_.train_pipeline[0],
    dict(_base_.train_pipeline[1], scale=image_size),
    *_base_.train_pipeline[2:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(_base_.test_pipeline[1], scale=(image_size, image_size)),
    *_base_.test_pipeline[2:],
]

train_dataloader = dict(
    dataset=dict(
        labelled=dict(pipeline=train_pipeline),
        unlabelled=dict(pipeline=train_pipeline),
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
