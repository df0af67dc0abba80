"""A ViT-Ti/16 at 96 px, from scratch on the labelled images of a domain.

The teacher of the other configs of this folder: small, and fitted to a few
thousand images, so that ScaleKD can be tried where no weights are at hand.
Its recipe is ours.
"""

_base_ = [
    '../_base_/datasets/domain_folder_96.py',
    '../_base_/schedules/adamw_short.py',
    '../_base_/default_runtime.py',
]

model = dict(
    type='mmpretrain.TimmClassifier',
    model_name='vit_tiny_patch16_224',
    num_classes='auto',
    img_size=_base_.image_size,
    drop_path_rate=0.1,
    loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
)

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
    ),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(
    batch_size=128,
    dataset=dict(labelled=dict(pipeline=train_pipeline)),
    sampler=dict(
        streams=('labelled',),
        labelled=128,
        epoch_length='labelled',
        num_views=None,
    ),
)
auto_scale_lr = dict(base_batch_size=128)

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.001,
        by_epoch=True,
        begin=0,
        end=10,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=10,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=100, val_interval=20)
find_unused_parameters = False
