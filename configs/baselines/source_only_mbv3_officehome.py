"""The student alone on the labelled images of OfficeHome."""

_base_ = '../customkd_mbv3_officehome.py'

model = dict(_delete_=True, **_base_.student)

train_dataloader = dict(batch_size=64, sampler=dict(streams=('labelled',)))

# One network, one optimiser.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=_base_.optim_wrapper.optimizer,
)
find_unused_parameters = False
