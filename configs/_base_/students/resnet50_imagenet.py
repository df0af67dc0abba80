"""ResNet-50, trained from scratch likewise."""

_base_ = './resnet18_imagenet.py'

student = dict(backbone=dict(depth=50), head=dict(in_channels=2048))
