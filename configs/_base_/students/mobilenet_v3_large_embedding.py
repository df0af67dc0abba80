"""MobileNetV3-large likewise, whose last layer gives an embedding of 768."""

_base_ = './mobilenet_v3_large_in1k.py'

student = dict(head=dict(num_classes=768))
