"""ViT-B/32 from scratch, whose last layer gives an embedding of 768."""

student = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer', arch='b', img_size=224, patch_size=32
    ),
    head=dict(
        type='VisionTransformerClsHead', num_classes=768, in_channels=768
    ),
)
