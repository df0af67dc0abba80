"""The student alone on the labelled images of ELPV solar cells."""

_base_ = '../customkd_mbv3_elpv.py'

model = dict(_delete_=True, **_base_.student)

train_dataloader = dict(batch_size=32, sampler=dict(streams=('labelled',)))

auto_scale_lr = dict(base_batch_size=32)

# One network, one optimiser.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=_base_.optim_wrapper.optimizer,
)
find_unused_parameters = False

# As many epochs as CustomKD trains its student in: every second one.
max_epochs = _base_.max_epochs // 2
warmup_epochs = 1
param_scheduler = [
    dict(_base_.param_scheduler[0], end=warmup_epochs),
    dict(
        _base_.param_scheduler[1],
        begin=warmup_epochs,
        end=max_epochs,
        T_max=max_epochs - warmup_epochs,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
