"""The same without random erasing, for MobileNetV1."""

_base_ = './imagenet_conv.py'

train_pipeline = [*_base_.train_pipeline[:4], *_base_.train_pipeline[5:]]

train_dataloader = dict(dataset=dict(labelled=dict(pipeline=train_pipeline)))
