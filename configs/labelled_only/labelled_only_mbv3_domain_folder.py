"""The student alone on the labelled images of a folder of domains."""

_base_ = [
    '../_base_/tasks/domain_folder_mbv3.py',
    '../_base_/schedules/adamw_short.py',
]

model = dict(_delete_=True, **_base_.student)
# No teacher, no need to fix the views: every image is augmented anew.
train_dataloader = dict(
    batch_size=64, sampler=dict(streams=('labelled',), num_views=None)
)
auto_scale_lr = dict(base_batch_size=64)
# One network, one optimiser.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=_base_.optim_wrapper.optimizer,
)
find_unused_parameters = False
