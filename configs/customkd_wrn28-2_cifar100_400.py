"""CustomKD on CIFAR-100 with 400 labels: DINOv2 teaches WideResNet-28-2.

We could read nowhere which weights of the terms, schedule, batch sizes and
augmentation the paper used: those here are [ours], and not tuned on this data.
"""

_base_ = [
    './_base_/tasks/cifar100_400_wrn28_2.py',
    './_base_/schedules/sgd_cifar_alternating.py',
]

model = dict(
    type='CustomKD',
    general_weight=1.0,
    specific_weight=1.0,
)
