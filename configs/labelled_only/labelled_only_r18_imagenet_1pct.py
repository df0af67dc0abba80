"""The student alone on ImageNet with 1 % of the labels."""

_base_ = [
    '../_base_/tasks/imagenet_1pct_r18.py',
    '../_base_/schedules/sgd_long.py',
]

model = dict(_delete_=True, **_base_.student)
train_dataloader = dict(batch_size=64, sampler=dict(streams=('labelled',)))
auto_scale_lr = dict(base_batch_size=64)
# One network, one optimiser.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=_base_.optim_wrapper.optimizer,
)
find_unused_parameters = False
