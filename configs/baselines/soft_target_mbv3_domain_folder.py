"""Soft-target distillation on a folder of domains."""

_base_ = [
    '../customkd_mbv3_domain_folder.py',
    '../_base_/methods/soft_target.py',
]

model = dict(
    _delete_=True,
    student=_base_.student,
    teacher=_base_.teacher,
    input_size=_base_.image_size,
    **_base_.method,
)

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
