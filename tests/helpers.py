"""Small real parts that many tests share."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer
from PIL import Image

from mmkd_custom.models import CustomKD

NUM_CLASSES = 5
IMAGE_SIZE = 32


def student_config(num_classes: int = NUM_CLASSES) -> dict:
    """A real edge model with BatchNorm and dropout."""
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='mmpretrain.MobileNetV3', arch='small'),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(
            type='mmpretrain.StackedLinearClsHead',
            num_classes=num_classes,
            in_channels=576,
            mid_channels=[64],
            dropout_rate=0.2,
            act_cfg=dict(type='HSwish'),
        ),
    )


def teacher_config(**kwargs) -> dict:
    """A real but tiny timm network with random weights."""
    return dict(
        type='mmkd_custom.TimmTeacher',
        model_name='test_efficientnet',
        input_size=None,
        **kwargs,
    )


def build_customkd(seed: int = 0, **kwargs) -> CustomKD:
    """A CustomKD model with freshly seeded weights."""
    torch.manual_seed(seed)
    options = dict(
        student=student_config(),
        teacher=teacher_config(),
        input_size=IMAGE_SIZE,
        data_preprocessor=dict(
            num_classes=NUM_CLASSES,
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            to_rgb=True,
        ),
    )
    options.update(kwargs)
    return CustomKD(**options)


def make_batch(
    labels: Sequence[Optional[int]], seed: int = 0, size: int = IMAGE_SIZE
) -> dict:
    """A collated batch; a label of None makes an unlabelled sample."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(
        0, 256, (len(labels), 3, size, size), generator=generator
    ).byte()
    samples: List[DataSample] = []
    for label in labels:
        sample = DataSample()
        if label is not None:
            sample.set_gt_label(label)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def digests(module: torch.nn.Module) -> Dict[str, str]:
    """SHA-256 of the bytes of every parameter and buffer."""
    tensors = dict(module.named_parameters())
    tensors.update(module.named_buffers())
    return {
        name: hashlib.sha256(
            tensor.detach().cpu().contiguous().numpy().tobytes()
        ).hexdigest()
        for name, tensor in tensors.items()
    }


def make_domains(
    root: Path,
    domains: Sequence[str] = ('art', 'photo'),
    classes: Sequence[str] = ('cat', 'dog', 'owl'),
    per_class: int = 6,
    size: int = 40,
) -> Path:
    """Writes a tree of real JPEG files, classes told apart by their hue."""
    rng = np.random.RandomState(0)
    for d, domain in enumerate(domains):
        for c, name in enumerate(classes):
            folder = root / domain / name
            folder.mkdir(parents=True)
            for i in range(per_class):
                image = rng.randint(0, 100, (size, size, 3)) + 20 * d
                image[..., c % 3] += 90
                Image.fromarray(image.astype(np.uint8)).save(
                    folder / f'{i:03d}.jpg'
                )
    return root


def forget_instances() -> None:
    """Drops what MMEngine keeps by name for the length of a process."""
    for manager in (
        DefaultScope,
        MessageHub,
        MMLogger,
        Visualizer,
        UniversalVisualizer,
    ):
        manager._instance_dict.clear()
