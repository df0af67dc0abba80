"""CustomKD on CIFAR-100 with 400 labels: DINOv2 teaches WideResNet-28-2.

Weights of the terms, schedule, batch sizes and augmentation are our choices,
not tuned on this data (docs/methods.md, CustomKD).
"""

_base_ = [
    './_base_/tasks/cifar100_400_wrn28_2.py',
    './_base_/schedules/sgd_cifar_alternating.py',
]

model = dict(type='CustomKD', general_weight=1.0, specific_weight=1.0)
