"""The student alone on CIFAR-100 with 400 labels."""

_base_ = [
    '../_base_/tasks/cifar100_400_wrn28_2.py',
    '../_base_/schedules/sgd_cifar.py',
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
