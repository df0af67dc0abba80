"""LAMB for 300 epochs and a batch of 2048, ScaleKD's recipe for CNNs."""

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='StagedOptimWrapperConstructor',
    optimizer=dict(type='mmpretrain.Lamb', lr=5e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=5.0),
)

# Warm-up, then a cosine decay to the last epoch, whichever that is.
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.25,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=5,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()
