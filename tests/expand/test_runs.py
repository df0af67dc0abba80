"""Runs of configs with the key, from file to student."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import mmpretrain
import pytest
import timm
import torch
from safetensors.torch import save_file

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import build_runner, train
from mmkd_custom.models import BaseDistiller
from tests.cli import REPOSITORY, call_tool, environment, free_port
from tests.expand.configs import PIPELINE, student_alone
from tests.helpers import forget_instances, make_domains

#: What makes the page's config small.
SMALL = (
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0',
    'train_cfg.max_epochs=2',
    'distill.input_size=64',
)
ADDED_LINES = 10


def student_of(work_dir):
    return torch.load(work_dir / 'student.pth')['state_dict']


def same(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) for name in one
    )


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """The config of docs/one_key.md, with data and a teacher in a file."""
    folder = tmp_path_factory.mktemp('page')
    make_domains(folder / 'data', ('train', 'val', 'phone'), per_class=2)
    text = (REPOSITORY / 'docs' / 'one_key.md').read_text()
    config = re.search(r'```python\n(_base_.*?)```', text, re.S)[1]
    lines = [line for line in config.splitlines() if line.strip()]
    assert len(lines) <= ADDED_LINES + 1
    torch.manual_seed(0)
    weights = timm.create_model('test_efficientnet').state_dict()
    save_file(weights, folder / 'test_efficientnet.safetensors')
    config, count = re.subn(
        r"teacher='timm/[^']*'",
        "teacher='file/test_efficientnet.safetensors'",
        config,
    )
    assert count == 1
    (folder / 'mine.py').write_text(config.replace('scale=224', 'scale=64'))
    return folder


@pytest.fixture(scope='module')
def run(page):
    """Trained by tools/train.py."""
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.chdir(page)
        arguments = ('mine.py', '--work-dir', 'work', '--cfg-options', *SMALL)
        assert call_tool('train.py', *arguments) == 0
    return page / 'work'


def test_what_it_expands_to_runs_by_itself(page, run, monkeypatch):
    monkeypatch.chdir(page)
    text = (run / 'mine.py').read_text()
    assert 'distill =' not in text and 'DistillRunner' not in text
    assert call_tool('train.py', run / 'mine.py', '--work-dir', 'again') == 0
    assert same(student_of(run), student_of(page / 'again'))


def test_the_log_says_what_was_decided(run):
    (log,) = run.glob('*/*.log')
    sentences = re.findall(r' - (distill: .*)', log.read_text())
    assert sentences == [
        'distill: randomness.seed is 0, for want of one.',
        'distill: num_classes is 3, as the labelled images have it, not 1000.',
    ]


def test_where_the_teachers_cache_is(page, monkeypatch):
    monkeypatch.chdir(page)
    arguments = ('mine.py', '--work-dir', 'cached', '--cache-dir', 'kept')
    options = ('--cfg-options', *SMALL)
    assert call_tool('cache_teacher.py', *arguments, *options) == 0
    assert [*(page / 'kept').iterdir()]
    assert not (page / 'cached' / 'teacher_cache').exists()


def test_resumes_bit_for_bit(page, run, monkeypatch):
    monkeypatch.chdir(page)
    (page / 'resumed').mkdir()
    # The student's first epoch is the run's second.
    shutil.copy(run / 'epoch_2.pth', page / 'resumed')
    arguments = ('mine.py', '--work-dir', 'resumed', '--resume')
    assert call_tool('train.py', *arguments, '--cfg-options', *SMALL) == 0
    assert same(student_of(run), student_of(page / 'resumed'))


def test_the_student_is_tested_by_the_same_file(page, run, monkeypatch):
    monkeypatch.chdir(page)
    arguments = ('mine.py', run / 'student.pth', '--work-dir', 'tested')
    assert call_tool('test.py', *arguments, '--cfg-options', *SMALL) == 0


@pytest.mark.slow
def test_under_mmpretrains_own_tool(page, run):
    tool = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'train.py'
    arguments = [tool, 'mine.py', '--work-dir', 'theirs', '--cfg-options']
    # It shuts workers down by an option of its own.
    arguments[2:2] = ['--no-persistent-workers']
    ran = subprocess.run(
        [sys.executable, *map(str, arguments), *SMALL],
        cwd=page,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=1000,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert same(student_of(run), student_of(page / 'theirs'))


@pytest.mark.slow
def test_in_two_processes(page):
    students = []
    for config, work in (('mine.py', 'two'), ('two/mine.py', 'twice')):
        options = ['--cfg-options', *SMALL] if work == 'two' else []
        ran = subprocess.run(
            [
                sys.executable,
                str(REPOSITORY / 'tools' / '_torchrun.py'),
                '--nproc_per_node=2',
                f'--master_port={free_port()}',
                str(REPOSITORY / 'tools' / 'train.py'),
                config,
                '--work-dir',
                work,
                '--launcher',
                'pytorch',
                *options,
            ],
            cwd=page,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=1000,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        students.append(student_of(page / work))
        # Of the two processes one says it.
        (log,) = (page / work).glob('*/*.log')
        for text in (log.read_text(), ran.stdout + ran.stderr):
            assert text.count(' - distill: num_classes is 3') == 1
    assert same(*students)


def trained(config, work_dir):
    """Trains a config as a file of its own."""
    forget_instances()
    path = work_dir / 'config.py'
    config.dump(path)
    config = prepare(
        load_config(path), config_path=path, work_dir=str(work_dir / 'run')
    )
    train(config)
    return config, student_of(work_dir / 'run')


EMA = dict(type='EMAHook', momentum=0.1, priority='ABOVE_NORMAL')
TIMM = dict(
    _delete_=True,
    type='TimmClassifier',
    model_name='test_resnet',
    num_classes=1000,
    loss=dict(type='CrossEntropyLoss'),
)
MIXES = dict(
    augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
)
SOFT = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=1000)
BY_ITERATION = dict(
    train_cfg=dict(_delete_=True, by_epoch=False, max_iters=3, val_interval=3),
    train_dataloader__sampler=dict(type='InfiniteSampler', shuffle=True),
    default_hooks__checkpoint__by_epoch=False,
)


@pytest.mark.parametrize(
    'distill, changes',
    [
        ({}, dict(custom_hooks=[EMA])),
        ({}, dict(model__train_cfg=MIXES, model__head__loss=SOFT)),
        ({}, dict(model=TIMM)),
        (dict(method='soft_target'), BY_ITERATION),
        (
            dict(method='propagated', teacher_view='whole', cache=True),
            dict(),
        ),
        (dict(method='dkd', cache=True, unlabelled=None), dict()),
    ],
    ids=['ema', 'mixup', 'timm', 'iterations', 'propagated', 'one_stream'],
)
def test_kinds_of_configs(root, tmp_path, distill, changes):
    distill = dict(distill)
    config = student_alone(root, train_cfg__max_epochs=1, **changes)
    config.distill.update(epoch_length=2)
    for name, value in distill.items():
        config.distill[name] = value
    config, student = trained(config, tmp_path)
    assert config.model.student.get('num_classes', 3) == 3
    assert student and not any(name.startswith('teach') for name in student)


def test_mixed_precision(root, tmp_path, monkeypatch):
    # MMEngine's wrapper wants an accelerator; its loss scaler is then idle.
    monkeypatch.setattr(
        'mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available',
        lambda: True,
    )
    mixed, usual = [], BaseDistiller.loss

    def loss(self, *args, **kwargs):
        mixed.append(torch.is_autocast_enabled('cpu'))
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(BaseDistiller, 'loss', loss)
    config = student_alone(
        root,
        train_cfg__max_epochs=1,
        optim_wrapper__type='AmpOptimWrapper',
        optim_wrapper__dtype='bfloat16',
    )
    config.distill.update(epoch_length=2)
    _, student = trained(config, tmp_path)
    # Both stages.
    assert mixed == [True] * 4
    assert all(
        value.dtype == torch.float32 and value.isfinite().all()
        for value in student.values()
        if value.is_floating_point()
    )


@pytest.mark.slow
def test_compiled(root, tmp_path):
    # `compile=True` takes inductor, which compiles for minutes.
    students = []
    for name, changes in (
        ('usual', dict()),
        ('compiled', dict(compile=dict(backend='eager'))),
    ):
        (tmp_path / name).mkdir()
        config = student_alone(root, train_cfg__max_epochs=1, **changes)
        config.distill.update(epoch_length=2)
        students.append(trained(config, tmp_path / name)[1])
        torch.compiler.reset()
    assert same(*students)


LAZY = """
from mmengine.config import read_base
from torch.optim import SGD

with read_base():
    from .student import *

model['head']['num_classes'] = 1000
optim_wrapper = dict(optimizer=dict(type=SGD, lr=0.01))
"""
STUDENT = """
from mmpretrain.datasets import CustomDataset, LoadImageFromFile, PackInputs
from mmpretrain.datasets import RandomResizedCrop
from mmpretrain.models import (GlobalAveragePooling, ImageClassifier,
                               LinearClsHead, MobileNetV3)
from mmengine.dataset import DefaultSampler
from mmkd_custom.models import TimmTeacher

default_scope = 'mmpretrain'
model = dict(
    type=ImageClassifier,
    backbone=dict(type=MobileNetV3, arch='small'),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=1000, in_channels=576))
train_dataloader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(
        type=CustomDataset, data_prefix={root!r} + '/art',
        pipeline=[dict(type=LoadImageFromFile),
                  dict(type=RandomResizedCrop, scale=32),
                  dict(type=PackInputs)]))
train_cfg = dict(by_epoch=True, max_epochs=1)
distill = dict(
    teacher=dict(type=TimmTeacher, model_name='test_efficientnet'),
    unlabelled={root!r} + '/photo', epoch_length=1)
"""


def test_lazy_config(root, tmp_path):
    (tmp_path / 'student.py').write_text(STUDENT.format(root=str(root)))
    path = tmp_path / 'lazy.py'
    path.write_text(LAZY)
    config = prepare(
        load_config(path), config_path=path, work_dir=str(tmp_path / 'run')
    )
    train(config)
    forget_instances()
    again = load_config(tmp_path / 'run' / 'lazy.py')
    runner = build_runner(
        prepare(again, config_path=path, work_dir=str(tmp_path / 'again'))
    )
    assert isinstance(runner.model, BaseDistiller)
    assert runner.model.student_view.num_classes == 3
    assert PIPELINE[1]['scale'] == runner.model.input_size


@pytest.mark.parametrize('name', ['distil', 'destill'])
def test_a_misspelt_key(root, tmp_path, name):
    config = student_alone(root)
    config._cfg_dict[name] = config.pop('distill')
    config.dump(tmp_path / 'config.py')
    assert call_tool('train.py', tmp_path / 'config.py') == 2
