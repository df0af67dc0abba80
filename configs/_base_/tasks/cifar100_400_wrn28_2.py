"""CIFAR-100, 400 labels: DINOv2 ViT-B/14 teaches WideResNet-28-2."""

_base_ = [
    '../datasets/cifar100_400.py',
    '../students/wrn28_2_cifar.py',
    '../teachers/{{$TEACHER:dinov2_vitb14}}.py',
    '../default_runtime.py',
]

model = dict(
    student=_base_.student,
    teacher=_base_.teacher,
    input_size=_base_.image_size,
)
