"""The same with the stronger RandAugment of ScaleKD's recipe for Mixers."""

_base_ = './imagenet.py'

augment = dict(_base_.augment, total_level=15, magnitude_level=12)
train_pipeline = [
    *_base_.train_pipeline[:3],
    augment,
    *_base_.train_pipeline[4:],
]

train_dataloader = dict(dataset=dict(labelled=dict(pipeline=train_pipeline)))
