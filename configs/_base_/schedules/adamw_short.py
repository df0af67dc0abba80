"""AdamW for 20 epochs, in all of which the student trains.

For students from scratch on small images. Distillers with a customization
stage take the alternating schedule beside this one.
"""

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='StagedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.05, fused=True),
    # The projection that customizes the teacher's feature.
    stages=dict(
        customization=dict(
            optimizer=dict(
                type='AdamW', lr=1e-3, weight_decay=0.05, fused=True
            )
        )
    ),
)

# Warm-up times a cosine decay to the last epoch, whichever that is.
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.02,
        by_epoch=True,
        begin=0,
        end=1,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
val_cfg = dict()
test_cfg = dict()
