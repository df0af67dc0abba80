"""DomainNet: DINOv2 ViT-B/14 teaches MobileNetV3-large at 224 px."""

_base_ = [
    '../datasets/domainnet_224.py',
    '../students/mobilenet_v3_large_in1k.py',
    '../teachers/{{$TEACHER:dinov2_vitb14}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=_base_.teacher,
    input_size=_base_.image_size,
)
