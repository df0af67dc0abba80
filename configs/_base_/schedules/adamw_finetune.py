"""AdamW for students that start from ImageNet weights [ours]."""

max_epochs = 40
warmup_epochs = 2

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='StagedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05),
    stages=dict(
        customization=dict(
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05)
        )
    ),
)

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.02,
        by_epoch=True,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
        T_max=max_epochs - warmup_epochs,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=2)
val_cfg = dict()
test_cfg = dict()
