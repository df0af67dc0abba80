"""The same with the weaker RandAugment of ScaleKD's recipe for ResNet-50.

For 32 processes of 64 images, a batch of 2048. Labels come as a score of each
class, as the binary cross entropy of the students wants them.
"""

_base_ = './imagenet.py'

processes = 32

augment = dict(_base_.augment, total_level=8, magnitude_level=7)
train_pipeline = [
    *_base_.train_pipeline[:3],
    augment,
    *_base_.train_pipeline[4:],
]

train_dataloader = dict(dataset=dict(labelled=dict(pipeline=train_pipeline)))
data_preprocessor = dict(to_onehot=True)
auto_scale_lr = dict(base_batch_size=2048)
