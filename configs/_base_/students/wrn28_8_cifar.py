"""WideResNet-28-8 for 32 px, trained from scratch."""

_base_ = './wrn28_2_cifar.py'

student = dict(backbone=dict(widen_factor=8), head=dict(in_channels=512))
