"""Small classifiers of MMPretrain."""

from __future__ import annotations

import pytest
import torch
from mmpretrain.models import build_classifier

MEAN = [123.675, 116.28, 103.53]
STD = [58.395, 57.12, 57.375]


#: A plain transformer of two blocks, without and with its head.
VIT = dict(
    type='VisionTransformer',
    arch=dict(
        embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64
    ),
    img_size=32,
    patch_size=16,
)


def small_vit(**options) -> dict:
    return dict(
        type='ImageClassifier',
        backbone=dict(VIT, **options),
        head=dict(
            type='VisionTransformerClsHead', num_classes=7, in_channels=32
        ),
        data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True),
    )


def small(**options) -> dict:
    return dict(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='ResNet',
                depth=18,
                base_channels=8,
                stem_channels=8,
                out_indices=(1, 3),
            ),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=7, in_channels=64),
            data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True),
        ),
        **options,
    )


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 32, 32), generator=generator).float()


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> str:
    """Weights of :func:`small` as MMEngine saves them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'epoch_1.pth'
    torch.save(dict(state_dict=build_classifier(small()).state_dict()), path)
    return str(path)
