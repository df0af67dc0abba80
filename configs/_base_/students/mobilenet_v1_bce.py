"""MobileNetV1, which MMPretrain has by timm, with binary cross entropy."""

student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='TIMMBackbone', model_name='mobilenetv1_100', features_only=True
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes='auto',
        in_channels=1024,
        loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
)
