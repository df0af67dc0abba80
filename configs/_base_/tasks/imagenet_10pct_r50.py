"""ImageNet, 10 % of the labels: DINOv2 ViT-B/14 teaches ResNet-50."""

_base_ = [
    '../datasets/imagenet_10pct.py',
    '../students/resnet50_imagenet.py',
    '../teachers/{{$TEACHER:dinov2_vitb14}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=_base_.teacher,
    input_size=_base_.image_size,
)
