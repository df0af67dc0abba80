"""After a run no byte of any kind of teacher changed, and none was saved."""

import hashlib

import pytest
import torch
from mmengine.config import ConfigDict

from mmkd_custom.engine.config import load_config
from mmkd_custom.fitting.adapt import adapt_config
from mmkd_custom.fitting.probe import probe_config
from mmkd_custom.fitting.training import AdaptSettings
from tests.cli import REPOSITORY
from tests.models.teachers.open_clip.open_clip_models import register

TIMM = dict(type='TimmTeacher', model_name='test_vit', input_size=32)
CONV = dict(type='TimmTeacher', model_name='test_efficientnet')
CLASSES = ('cat', 'dog', 'owl')
MMPRETRAIN = dict(
    type='MMPretrainTeacher',
    model=dict(
        type='ImageClassifier',
        backbone=dict(type='MobileNetV2', widen_factor=0.35),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=1280),
    ),
)
CLIP = dict(type='OpenCLIPTeacher', model_name='tiny-vit', class_names=CLASSES)


def shipped(teacher, work_dir):
    """The shipped config with another teacher, as a tool loads it."""
    config = load_config(
        REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'
    )
    config.model.teacher.teacher = ConfigDict(teacher)
    config.work_dir = str(work_dir)
    return config


def with_weights(tmp_path):
    """TIMM with weights on disk, so that it is the same every time."""
    import timm

    path = tmp_path / 'vit.pth'
    torch.manual_seed(3)
    torch.save(timm.create_model('test_vit').state_dict(), path)
    return dict(TIMM, checkpoint=str(path))


def probed(tmp_path):
    inner = with_weights(tmp_path)
    _, _, path = probe_config(shipped(inner, tmp_path), holdout=0.4)
    return dict(type='ProbedTeacher', teacher=inner, probe=str(path))


def adapted(tmp_path):
    inner = with_weights(tmp_path)
    settings = AdaptSettings(mode='norm', epochs=1, batch_size=4)
    _, path = adapt_config(shipped(inner, tmp_path), settings)
    return dict(type='AdaptedTeacher', teacher=inner, adaptation=str(path))


TEACHERS = dict(
    timm=lambda _: TIMM,
    timm_in_bfloat16=lambda _: dict(TIMM, dtype='bfloat16', max_batch=3),
    open_clip=lambda _: CLIP,
    mmpretrain=lambda _: MMPRETRAIN,
    ensemble=lambda _: dict(
        type='EnsembleTeacher', teachers=[TIMM, CONV], mode='features'
    ),
    probed=probed,
    adapted=adapted,
    cached=lambda tmp_path: dict(
        type='CachedTeacher', teacher=probed(tmp_path)
    ),
)


def digest(teacher):
    """Of every byte of it, by other means than ``teacher.digest()``."""
    hasher = hashlib.sha256()
    for name, tensor in sorted(teacher.state_dict().items()):
        hasher.update(name.encode())
        hasher.update(bytes(tensor.contiguous().view(-1).view(torch.uint8)))
    return hasher.hexdigest()


def tensor_bytes(node):
    if torch.is_tensor(node):
        return node.numel() * node.element_size()
    if isinstance(node, dict):
        return sum(map(tensor_bytes, node.values()))
    if isinstance(node, (list, tuple)):
        return sum(map(tensor_bytes, node))
    return 0


@pytest.mark.slow
@pytest.mark.parametrize('kind', list(TEACHERS))
def test_three_epochs(kind, small_runner, tmp_path):
    if kind == 'open_clip':
        (tmp_path / 'models').mkdir()
        register(tmp_path / 'models')
    asked = []

    def edit(config):
        config.model.teacher = ConfigDict(TEACHERS[kind](tmp_path))
        if kind != 'cached':
            # The teacher is asked in every step.
            config.train_dataloader.sampler.num_views = None

    runner = small_runner(epochs=3, edit=edit)
    model = runner.model
    before, own = digest(model.teacher), model.teacher.digest()
    network = model.teacher.teacher if kind == 'cached' else model.teacher
    network.register_forward_hook(
        lambda *_: asked.append((model.stage, model.teacher.training))
    )
    runner.train()
    # Three epochs of five iterations, after the start report.
    steps = [(stage, training) for stage, training in asked if stage]
    assert len(steps) == 15 or kind == 'cached'
    assert {stage for stage, _ in steps} == {'customization', 'distillation'}
    assert not any(training for _, training in steps)
    assert digest(model.teacher) == before
    assert model.teacher.digest() == own
    assert not any(p.requires_grad for p in model.teacher.parameters())

    path = next(tmp_path.glob('work/epoch_3.pth'))
    checkpoint = torch.load(path, weights_only=True)
    student = model.student.state_dict()
    wanted = {f'student.{name}': tensor for name, tensor in student.items()}
    width = model.teacher.feature_dim
    feature = model.student_view.feature_dim
    projections = 2 * (width * feature) + width + feature
    rest = {
        name: tensor
        for name, tensor in checkpoint['state_dict'].items()
        if name not in wanted
    }
    assert wanted.keys() <= checkpoint['state_dict'].keys()
    assert not [name for name in rest if name.startswith('teacher.')]
    assert sum(t.numel() for t in rest.values()) == projections
    weights = tensor_bytes(checkpoint['state_dict'])
    # AdamW keeps two numbers for each that it trains.
    optimizer = tensor_bytes(checkpoint['optimizer'])
    assert optimizer < 2.01 * weights
    assert path.stat().st_size < 1.02 * (weights + optimizer) + 300_000
