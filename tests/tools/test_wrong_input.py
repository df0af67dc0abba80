"""What a user can get wrong: one sentence, exit code 2, nothing spoilt."""

import errno
import os
import shutil

import pytest
import torch

from tests.cli import REPOSITORY, TINY, call_tool
from tests.helpers import make_domains

CONFIG = str(REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py')
SMALL = [
    *TINY,
    'train_cfg.max_epochs=2',
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'train_dataloader.sampler.labelled=2',
    'train_dataloader.sampler.unlabelled=2',
]
TRAIN = [CONFIG, '--work-dir', 'run', '--cfg-options', *SMALL]
#: Label smoothing of another number of classes than the head's.
SMOOTH = (
    'model.student.head.loss._delete_=True '
    'model.student.head.loss.type=LabelSmoothLoss '
    'model.student.head.loss.label_smooth_val=0.1 '
    'model.student.head.loss.num_classes=1000'
)
INIT = (
    'model.student.backbone.init_cfg.type=Pretrained '
    'model.student.backbone.init_cfg.checkpoint=nope.pth'
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with images and files that are no use to tools."""
    make_domains(tmp_path / 'data', per_class=2)
    (tmp_path / 'file').write_text('text')
    (tmp_path / 'empty.py').write_text('')
    (tmp_path / 'half.py').write_text('model = dict(')
    (tmp_path / 'folder').mkdir()
    torch.save(dict(state_dict=3), tmp_path / 'three.pth')
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), tmp_path / 'other.pth')
    monkeypatch.chdir(tmp_path)
    for name, value in dict(
        DATA_ROOT='data', SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.fixture
def refused(folder, capsys, monkeypatch):
    """Runs a tool in this process and checks how it refuses."""

    def run(tool, arguments, words, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        before = contents(folder)
        capsys.readouterr()
        assert call_tool(tool, *arguments) == 2
        stderr = capsys.readouterr().err
        assert 'Traceback' not in stderr
        told = [line for line in stderr.splitlines() if 'error: ' in line]
        assert told == stderr.splitlines()[-1:], stderr
        for word in words:
            assert word.lower() in told[0].lower()
        after = contents(folder)
        assert {path: after.get(path) for path in before} == before
        # Logs apart, and what a cache holds.
        made = {path.name for path in after.keys() - before.keys()}
        assert not [n for n in made if n.endswith(('.pth', 'results.json'))]

    return run


@pytest.mark.parametrize(
    'options, words',
    [
        ('train_cgf.max_epochs=1', ['train_cgf', "'train_cfg'"]),
        ('data_root=elsewhere', ['data_root', 'variable']),
        ('nokey', ['nokey', 'key=value']),
        ('custom_imports.imports=[no_module]', ['no_module']),
        ('train_dataloader.batch_size=abc', ['batch_size', 'abc']),
        ('train_dataloader.num_workers=-1', ['num_workers', '-1']),
        ('train_cfg.max_epochs=2.5', ['max_epochs', '2.5']),
        ('train_cfg.max_epochs=1', ['max_epochs', '1', 'customization']),
        ('default_hooks.logger.interval=0', ['logger', 'interval=0']),
        ('model.general_weight=abc', ['general_weight', 'abc']),
        ('model.genral_weight=3', ["'genral_weight'", "'general_weight'"]),
        ('model.type=CustomKDD', ["'CustomKDD'", "'CustomKD'"]),
        ('model.student.head.dropout_rate=5', ['dropout', '5']),
        (
            'model.student.backbone.arch=abc',
            ['backbone', "arch='abc'"],
        ),
        ('model=abc', ['model', 'abc']),
        ('model=None', ['model']),
        ('model.teacher.teacher.checkpoint=folder', ['folder']),
        (
            'model.teacher.teacher.model_name=vit_smal_patch14_dinov2',
            ['vit_smal_patch14_dinov2', 'vit_small_patch14_dinov2'],
        ),
        (
            'model.projection.type=LinearConnector '
            'model.projection.in_channels=7',
            ['in_channels', 'LinearConnector'],
        ),
        (
            'model.schedule.customization=1 model.schedule.distillation=0',
            ['distillation'],
        ),
        ('optim_wrapper.optimizer.lr=abc', ['optimizer', "lr='abc'"]),
        ('optim_wrapper.accumulative_counts=0', ['accumulative_counts']),
        ('optim_wrapper=None', ['optim_wrapper']),
        ('param_scheduler.0.start_factor=7', ['LinearLR', 'factor']),
        ('val_evaluator=None', ['val_evaluator']),
        ('data_preprocessor.mean=[1,2]', ['data_preprocessor.mean', '2']),
        ('load_from=nope.pth', ['nope.pth']),
        ('load_from=three.pth', ['three.pth']),
        (INIT, ['nope.pth']),
        ('model.student.head.num_classes=7', ['head.num_classes', '7', '3']),
        (SMOOTH, ['student.head.loss.num_classes', '1000', '3']),
        ('val_evaluator.0.topk=(1,5)', ['val_evaluator', 'topk', '5', '3']),
        ('val_evaluator.0.topk=abc', ['val_evaluator', 'topk', "'a'"]),
        ('val_evaluator.1.num_classes=4', ['SingleLabelMetric', '4', '3']),
    ],
)
def test_options(refused, options, words):
    refused('train.py', [*TRAIN, *options.split(' ')], words)


def spoil(root):
    (root / 'art' / 'cat' / 'broken.jpg').write_bytes(b'not a jpeg')


@pytest.mark.parametrize(
    'variables, change, words',
    [
        (dict(SEED='-1'), None, ['seed']),
        (dict(SEED='abc'), None, ['seed']),
        (dict(SEED=str(2**33)), None, ['seed']),
        (dict(DATA_ROOT='nowhere'), None, ['nowhere', 'DATA_ROOT']),
        (dict(SOURCE='photo'), None, ['photo']),
        (dict(TARGET='sketch'), None, ['sketch', 'art', 'photo']),
        ({}, lambda root: (root / 'photo' / 'emu').mkdir(), ['emu']),
        ({}, lambda root: shutil.rmtree(root / 'art' / 'owl'), ['owl']),
        ({}, spoil, ['broken.jpg']),
    ],
)
def test_data(refused, folder, variables, change, words):
    if change is not None:
        change(folder / 'data')
    refused('train.py', TRAIN, words, **variables)


@pytest.mark.parametrize(
    'tool, where',
    [
        *(('train.py', where) for where in ('file/run', '/proc/run')),
        *(('train.py', where) for where in ('/dev/null', 'x' * 300)),
        ('test.py', 'file'),
        ('cache_teacher.py', 'file'),
    ],
)
def test_work_directories(refused, tool, where):
    more = ['other.pth'] if tool == 'test.py' else []
    arguments = [CONFIG, *more, '--work-dir', where, '--cfg-options', *SMALL]
    refused(tool, arguments, [where])


@pytest.mark.parametrize(
    'tool, arguments, words',
    [
        ('train.py', '{config} --resume three.pth', ['three.pth']),
        ('train.py', '{config} --resume nope.pth', ['nope.pth']),
        ('train.py', '{config} --launcher abc', ['--launcher', 'abc']),
        ('train.py', 'half.py', ['half.py']),
        ('train.py', 'empty.py', ['model']),
        ('test.py', '{config} three.pth', ['three.pth']),
        ('test.py', '{config} folder', ['folder']),
        ('test.py', '{config} other.pth --out no/x.json', ['--out no/x']),
        ('test.py', '{config} other.pth --out folder', ['--out folder']),
        ('test.py', '{config} other.pth --out-item pred', ['--out', '.pkl']),
        (
            'test.py',
            '{config} other.pth --out-item pred --out a.json',
            ['--out a.json', '.pkl'],
        ),
        (
            'test.py',
            '{config} other.pth --out-item metrics --out a.pkl',
            ['--out a.pkl'],
        ),
        ('export_student.py', 'file', ['file']),
        ('export_student.py', 'folder --checkpoint three.pth', ['three.pth']),
        ('export_student.py', 'folder --out file', ['--out file']),
        ('export_student.py', 'folder --input-size 0', ['--input-size', '0']),
        ('cache_teacher.py', 'empty.py', ['model']),
        ('cache_teacher.py', '{config} --cache-dir file', ['file']),
        ('probe_teacher.py', '{config} --out file/p', ['--out file/p']),
        ('probe_teacher.py', '{config} --out folder', ['--out folder']),
        ('adapt_teacher.py', '{config} --out /proc/a', ['--out /proc/a']),
        ('describe_teacher.py', 'half.py', ['half.py']),
        ('check_dataset.py', 'data --json no/x', ['--json no/x']),
        ('check_dataset.py', 'file', ['file']),
        ('prepare_data.py', 'officehome --data-root file', ['file']),
        ('browse_dataset.py', 'empty.py', ['train_dataloader']),
        ('browse_dataset.py', '{config} --out file/x.png', ['file/x.png']),
        ('benchmark.py', '{config} --work-dir file', ['file']),
        ('benchmark.py', '{config} --seeds -1', ['--seeds', '-1']),
        ('benchmark.py', '{config} --cfg-options modle.x=1', ['modle.x']),
        ('throughput.py', '{config} --json no/x', ['--json no/x']),
    ],
)
def test_places(refused, tool, arguments, words):
    refused(tool, arguments.format(config=CONFIG).split(' '), words)


def test_full_disk_loses_no_checkpoint(folder, monkeypatch, capsys):
    written = []

    def fill(handle):
        written.append(handle)
        # The cache's manifest and the first checkpoint still fit.
        if (folder / 'run' / 'epoch_1.pth').exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', fill)
    assert call_tool('train.py', *TRAIN) == 2
    stderr = capsys.readouterr().err
    assert 'Traceback' not in stderr
    last = stderr.splitlines()[-1]
    assert last.startswith('error: ') and 'epoch_2.pth' in last
    assert len(written) > 1
    assert [p.name for p in (folder / 'run').glob('*.pth')] == ['epoch_1.pth']
