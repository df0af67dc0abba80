"""MobileNetV3-small, trained from scratch in a few hundred iterations."""

student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='MobileNetV3',
        arch='small',
        # MMPretrain's momentum of 0.01 is meant for hundreds of epochs: in a
        # short run the running statistics would lag behind the weights.
        norm_cfg=dict(type='BN', eps=1e-3, momentum=0.1),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='StackedLinearClsHead',
        num_classes='auto',
        in_channels=576,
        mid_channels=[1024],
        dropout_rate=0.2,
        act_cfg=dict(type='HSwish'),
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
