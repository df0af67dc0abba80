"""What a user can get wrong: one sentence, exit code 2, nothing left."""

import errno
import os
import runpy
import sys

import pytest
import torch

from tests.cli import REPOSITORY, TINY
from tests.helpers import forget_instances, make_domains

CONFIG = str(REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py')
SMALL = [
    *TINY,
    'train_cfg.max_epochs=2',
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'train_dataloader.sampler.labelled=2',
    'train_dataloader.sampler.unlabelled=2',
]
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


def contents(folder):
    """Every file's bytes, every folder."""
    return {
        path.relative_to(folder).as_posix(): (
            None if path.is_dir() else path.read_bytes()
        )
        for path in folder.rglob('*')
    }


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a tool in this process, among files that are no use to it."""
    make_domains(tmp_path / 'data', per_class=2)
    (tmp_path / 'file').write_text('text')
    (tmp_path / 'empty.py').write_text('')
    (tmp_path / 'half.py').write_text('model = dict(')
    (tmp_path / 'folder').mkdir()
    torch.save(dict(state_dict=3), tmp_path / 'three.pth')
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), tmp_path / 'other.pth')
    monkeypatch.chdir(tmp_path)

    def run(tool, arguments, words, **variables):
        for name, value in dict(
            DATA_ROOT='data', SOURCE='art', TARGET='photo', SEED='0'
        ).items():
            monkeypatch.setenv(name, variables.get(name, value))
        before = contents(tmp_path)
        path = str(REPOSITORY / 'tools' / tool)
        monkeypatch.setattr(sys, 'argv', [path, *arguments])
        # Runners made within one second share their name.
        forget_instances()
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path(path, run_name='__main__')
        stderr = capsys.readouterr().err
        assert exit_.value.code == 2, stderr
        assert 'Traceback' not in stderr
        told = [line for line in stderr.splitlines() if 'error: ' in line]
        assert told == stderr.splitlines()[-1:], stderr
        for word in words:
            assert word.lower() in told[0].lower()
        assert contents(tmp_path) == before

    return run


@pytest.mark.parametrize(
    'options, words',
    [
        ('train_cgf.max_epochs=1', ['train_cgf', "'train_cfg'"]),
        ('modle.x=1', ['modle', "'model'"]),
        ('data_root=elsewhere', ['data_root', 'variable']),
        ('nokey', ['nokey', 'key=value']),
        ('custom_imports.imports=[no_module]', ['no_module']),
        ('train_dataloader.batch_size=abc', ["batch_size='abc'"]),
        ('train_dataloader.num_workers=-1', ['num_workers=-1']),
        ('train_cfg.max_epochs=2.5', ['max_epochs=2.5']),
        ('train_cfg.val_interval=0', ['val_interval=0']),
        ('default_hooks.logger.interval=0', ['LoggerHook', 'interval=0']),
        ('model.general_weight=abc', ['general_weight', "'abc'"]),
        ('model.student.head.dropout_rate=5', ['dropout', '5']),
        ('model.student.backbone.arch=abc', ['MobileNetV3', "arch='abc'"]),
        ('model=abc', ["model='abc'"]),
        ('model=None', ['model']),
        ('optim_wrapper.optimizer.lr=abc', ['AdamW', "lr='abc'"]),
        ('optim_wrapper.accumulative_counts=0', ['accumulative_counts=0']),
        ('train_dataloader.dataset.seed=None', ['dataset.seed=None']),
        ('optim_wrapper=None', ['optim_wrapper']),
        ('param_scheduler.0.start_factor=7', ['LinearLR', 'start_factor=7']),
        ('val_evaluator=None', ['val_evaluator']),
        ('data_preprocessor.mean=[1,2]', ['data_preprocessor.mean', '2']),
        ('load_from=nope.pth', ['nope.pth']),
        ('load_from=three.pth', ['three.pth']),
        (INIT, ['nope.pth']),
        ('model.teacher.teacher.checkpoint=folder', ['folder']),
        ('model.student.head.num_classes=7', ['head.num_classes', '7', '3']),
        ('model.student.head.num_classes=2', ['head.num_classes', '2', '3']),
        (SMOOTH, ['student.head.loss.num_classes', '1000', '3']),
        ('val_evaluator.0.topk=(1,5)', ['val_evaluator', 'topk=5', '3']),
        ('val_evaluator.0.topk=abc', ['val_evaluator', "topk='a'"]),
        ('val_evaluator.1.num_classes=4', ['SingleLabelMetric', '4', '3']),
    ],
)
def test_options(refused, options, words):
    arguments = [CONFIG, '--work-dir', 'run', '--cfg-options', *SMALL]
    refused('train.py', [*arguments, *options.split(' ')], words)


@pytest.mark.parametrize('seed', ['-1', 'abc', str(2**33), '1.5'])
def test_seeds(refused, seed):
    refused('train.py', [CONFIG, '--work-dir', 'run'], ['seed'], SEED=seed)


@pytest.mark.parametrize(
    'where', ['file', 'file/run', '/proc/run', '/dev/null', 'x' * 300]
)
@pytest.mark.parametrize('tool', ['train.py', 'test.py', 'cache_teacher.py'])
def test_work_directories(refused, tool, where):
    more = ['other.pth'] if tool == 'test.py' else []
    arguments = [CONFIG, *more, '--work-dir', where, '--cfg-options', *SMALL]
    refused(tool, arguments, [where])


@pytest.mark.parametrize(
    'tool, arguments, words',
    [
        ('train.py', '{config} --resume three.pth', ['three.pth']),
        ('train.py', '{config} --launcher abc', ['--launcher', 'abc']),
        ('train.py', 'half.py', ['half.py']),
        ('train.py', 'empty.py', ['model']),
        ('test.py', '{config} three.pth', ['three.pth']),
        ('test.py', '{config} folder', ['folder']),
        ('test.py', '{config} other.pth --out no/x.json', ['--out no/x']),
        ('test.py', '{config} other.pth --out folder', ['--out folder']),
        ('test.py', '{config} other.pth --out /proc/x.pkl', ['/proc/x.pkl']),
        ('export_student.py', 'file', ['file']),
        ('export_student.py', 'folder --checkpoint three.pth', ['three.pth']),
        ('export_student.py', 'folder --out no/s.pth', ['--out no/s.pth']),
        ('export_student.py', 'folder --onnx folder', ['--onnx folder']),
        ('export_student.py', 'folder --input-size 0', ['--input-size', '0']),
        ('cache_teacher.py', 'empty.py', ['model']),
        ('cache_teacher.py', '{config} --cache-dir file', ['file']),
        ('probe_teacher.py', '{config} --out file/p', ['--out file/p']),
        ('probe_teacher.py', '{config} --out folder', ['--out folder']),
        ('probe_teacher.py', '{config} --out /dev/null', ['/dev/null']),
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


def test_what_an_option_cannot_build_leaves_no_folder_of_a_probe(refused):
    checkpoint = 'model.teacher.teacher.checkpoint=nope.pth'
    arguments = [CONFIG, '--out', 'a/b/p', '--cfg-options', *SMALL, checkpoint]
    refused('probe_teacher.py', arguments, ['nope.pth'])


def test_a_disk_that_fills_up_loses_no_checkpoint(
    tmp_path, monkeypatch, capsys
):
    make_domains(tmp_path / 'data', per_class=2)
    monkeypatch.chdir(tmp_path)
    for name, value in dict(
        DATA_ROOT='data', SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)
    written = []

    def fill(handle):
        written.append(handle)
        # The cache's manifest and the first checkpoint still fit.
        if (tmp_path / 'run' / 'epoch_1.pth').exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', fill)
    arguments = [CONFIG, '--work-dir', 'run', '--cfg-options', *SMALL]
    path = str(REPOSITORY / 'tools' / 'train.py')
    monkeypatch.setattr(sys, 'argv', [path, *arguments])
    forget_instances()
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(path, run_name='__main__')
    stderr = capsys.readouterr().err
    assert exit_.value.code == 2, stderr
    assert 'Traceback' not in stderr
    last = stderr.splitlines()[-1]
    assert last.startswith('error: ') and 'epoch_2.pth' in last
    assert len(written) > 1
    assert [p.name for p in (tmp_path / 'run').glob('*.pth')] == [
        'epoch_1.pth'
    ]
