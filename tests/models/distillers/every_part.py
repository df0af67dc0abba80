"""All connectors and all networks of the registry in one distiller."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Tuple

import torch
from mmengine.config import Config

from mmkd_custom.models.connectors import Connector
from mmkd_custom.models.networks import OwnedNetwork
from mmkd_custom.models.networks.soft_labels import save_soft_labels
from mmkd_custom.registry import DATASETS, MODELS
from tests.models.networks.cases import classifier, term

CLASSES = 3
KL = 'KLDivergence'
FEATURES = 'student.feature', 'teacher.feature'
MAPS = 'student.maps.2', 'teacher.maps.2'
LOGITS = 'student.logits', 'teacher.logits'
PEER = dict(model=classifier(classes=CLASSES))

#: By connector: the two places that one term joins by it.
CONNECTORS = {
    'LinearConnector': FEATURES,
    'MLPConnector': FEATURES,
    'PrototypeConnector': FEATURES,
    'OrthogonalConnector': ('kd.logits', 'teacher.logits'),
    'ResidualConnector': LOGITS,
    'SpatialConnector': MAPS,
    'QueryConnector': MAPS,
    'CrossAttentionConnector': MAPS,
    'Discriminator': ('student.feature', 'batch.stream'),
}
NETWORKS = dict(
    probe=dict(type='LinearProbe'),
    ema=dict(type='AveragedStudent', momentum=0.9),
    labels=dict(type='SoftLabels'),
    propagated=dict(type='PropagatedLabels', neighbours=3),
    kd=dict(type='StudentHead'),
    sub=dict(type='SubclassHead', logits='probe.logits', subclasses=2),
    exits=dict(type='StageExits', stages=(1,)),
    peer=dict(type='Peer', **PEER),
    assistant=dict(type='Assistant', **PEER),
)
TERMS = dict(
    probe=term(
        'probe.logits', 'batch.targets', 'CrossEntropy', streams='labelled'
    ),
    mean=term('student@strong.logits', 'ema.logits', KL),
    kept=term('student.logits', 'labels.logits', KL),
    propagated=term(
        'student.logits', 'propagated.more.labels', 'CrossEntropy'
    ),
    kd=term('kd.logits', 'teacher.logits', KL),
    consistency=term('kd@strong.logits', 'kd.logits', KL),
    sub=term('sub.logits', 'sub.more.labels', 'CrossEntropy'),
    exit=term('exits.more.1', 'teacher.logits', KL),
    peer=term('student.logits', 'peer.logits', KL),
    mutual=term('peer.logits', 'student.logits', KL),
    learn=term('assistant.more.taught', 'teacher.feature'),
    residual=term(
        'student.feature',
        'assistant.more.residual',
        connector=dict(type='LinearConnector'),
    ),
    **{
        f'by_{name}': term(
            *places,
            'CrossEntropy' if name == 'Discriminator' else 'MSE',
            connector=dict(type=name),
            weight=0.1,
        )
        for name, places in CONNECTORS.items()
    },
)
HOOKS: List[dict] = [
    dict(type='SubclassHook'),
    dict(type='FoldHeadsHook', heads=dict(kd=0.5)),
]
EVERY_PART = dict(
    type='Distiller',
    teacher=dict(
        type='TimmTeacher',
        model_name='test_efficientnet',
        input_size=None,
        num_classes=CLASSES,
    ),
    networks=NETWORKS,
    terms=TERMS,
)


def registered() -> Tuple[set, set]:
    """Returns the names of all connectors and of all networks."""
    known = [
        (name, cls)
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type)
    ]
    return (
        {name for name, cls in known if issubclass(cls, Connector)},
        {name for name, cls in known if issubclass(cls, OwnedNetwork)},
    )


def keep_labels(config: Config, folder: Path) -> None:
    """Writes the table of the images that a config trains on."""
    dataset = DATASETS.build(config.train_dataloader.dataset)
    # One a rank: both may come here at once.
    folder = folder / f'rank_{os.environ.get("RANK", 0)}'
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / 'labels.safetensors'
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(len(dataset), CLASSES, generator=generator)
    save_soft_labels(file, logits, dataset.samples_sha256())
    config.model.networks.labels.file = str(file)
