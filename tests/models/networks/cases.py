"""One way to use each network that a distiller may own."""

from __future__ import annotations

import torch

from mmkd_custom.models.networks.soft_labels import save_soft_labels

CLASSES = 5
SAMPLES = 4


def classifier(width: int = 12, classes: int = CLASSES) -> dict:
    """A small transformer of images of 32 pixels."""
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(
                embed_dims=width,
                num_layers=2,
                num_heads=2,
                feedforward_channels=16,
            ),
            img_size=32,
            patch_size=8,
            out_type='cls_token',
        ),
        head=dict(
            type='mmpretrain.VisionTransformerClsHead',
            num_classes=classes,
            in_channels=width,
        ),
    )


def term(left: str, right: str, loss: str = 'MSE', **options: object) -> dict:
    """A term between two places."""
    return dict(loss=dict(type=loss), on=(left, right), **options)


LINEAR = dict(type='LinearConnector')
LABELS = dict(right='batch.targets', loss='CrossEntropy', streams='labelled')
PROBE = dict(type='LinearProbe')

#: Options and terms by type; the network is called ``net``.
CASES = {
    'LinearProbe': (dict(), [term('net.logits', **LABELS)]),
    'AveragedStudent': (
        dict(momentum=0.5),
        [term('student.logits', 'net.logits', 'KLDivergence')],
    ),
    'SoftLabels': (
        dict(file='labels.safetensors'),
        [term('student.logits', 'net.logits', 'KLDivergence')],
    ),
    'PropagatedLabels': (
        dict(),
        [term('student.logits', 'net.more.labels', 'CrossEntropy')],
    ),
    'StudentHead': (
        dict(),
        [
            term('net.logits', 'teacher.logits', 'KLDivergence'),
            term('net@strong.logits', 'net.logits', 'KLDivergence'),
        ],
    ),
    'SubclassHead': (
        dict(subclasses=3),
        [term('net.logits', 'net.more.labels', 'CrossEntropy')],
    ),
    'StageExits': (
        dict(stages=(1, 2)),
        [
            term('net.more.1', 'teacher.logits', 'KLDivergence'),
            term('net@strong.more.2', 'teacher.logits', 'KLDivergence'),
        ],
    ),
    'Peer': (
        dict(model=classifier()),
        [
            term('net.logits', **LABELS),
            term('net.logits', 'student.logits', 'KLDivergence'),
            term('student.logits', 'net.logits', 'KLDivergence'),
            term('student.feature', 'net@strong.feature', connector=LINEAR),
        ],
    ),
    'Assistant': (
        dict(model=classifier()),
        [
            term('net.more.taught', 'teacher.feature'),
            term('student.feature', 'net.more.taught', connector=LINEAR),
            term(
                'student.feature',
                'net.more.residual',
                connector=LINEAR,
                weight=0.2,
            ),
        ],
    ),
}
#: What they say is of no image of the batch: tested where they are.
OF_NO_IMAGE = {'TextCorpus'}
#: What is trained, of those that a loss reaches.
TRAINED = {
    'LinearProbe',
    'StudentHead',
    'SubclassHead',
    'StageExits',
    'Peer',
    'Assistant',
}
#: What teaches the student: their own loss reaches its encoder.
REACHING = {'StudentHead', 'SubclassHead', 'StageExits'}

#: What no term of these compares: an assistant's own logits.
UNUSED = {
    'Assistant': {f'model.head.layers.head.{k}' for k in ('weight', 'bias')}
}


def prepare(network: torch.nn.Module) -> None:
    """Does what a hook does before the first step."""
    if hasattr(network, 'directions'):
        torch.manual_seed(1)
        network.fill(
            torch.randn_like(network.means),
            torch.randn_like(network.directions),
        )
    elif hasattr(network, 'class_mass'):
        rows = torch.randn(2, SAMPLES, CLASSES).softmax(2)
        network.fill(*rows, torch.tensor([True, False] * (SAMPLES // 2)))


def labels_file(folder) -> str:
    """Writes a table for SoftLabels."""
    file = folder / 'labels.safetensors'
    torch.manual_seed(2)
    save_soft_labels(file, torch.randn(SAMPLES, CLASSES), 'abc')
    return str(file)
