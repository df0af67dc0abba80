"""The student alone on the labelled images."""

_base_ = [
    '../_base_/tasks/{{$DATA:domain_folder}}_{{$VIEW:clean192}}_mbv3.py',
    '../_base_/schedules/adamw_short.py',
]

model = dict(_delete_=True, **_base_.student)
# Half a batch, as many iterations.
train_dataloader = dict(
    batch_size=_base_.train_dataloader.sampler.labelled,
    sampler=dict(streams=('labelled',)),
)
auto_scale_lr = dict(base_batch_size=_base_.train_dataloader.sampler.labelled)
# One network, one optimiser.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=_base_.optim_wrapper.optimizer,
)
find_unused_parameters = False
