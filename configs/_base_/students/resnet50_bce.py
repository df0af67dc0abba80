"""ResNet-50 with binary cross entropy, for labels as scores."""

_base_ = './resnet50_imagenet.py'

student = dict(head=dict(loss=dict(use_sigmoid=True)))
