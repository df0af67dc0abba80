"""No run is lost or taken for another, whatever became of its files."""

import json
import shutil
from datetime import datetime

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import test as run_test
from mmkd_custom.engine.launch import train
from mmkd_custom.errors import UserError
from mmkd_custom.utils.files import load_checkpoint
from mmkd_custom.utils.runs import left_by_run
from tests.cli import REPOSITORY
from tests.helpers import forget_instances, make_domains

CONFIG = (
    REPOSITORY / 'configs/labelled_only/labelled_only_mbv3_domain_folder.py'
)


@HOOKS.register_module(force=True)
class Noting(Hook):
    """Notes a time in what a checkpoint is made of."""

    def __init__(self, where):
        self.where = where

    def before_train_epoch(self, runner):
        if self.where == 'message_hub':
            runner.message_hub.update_info('started_at', datetime.now())
            runner.message_hub.update_info('seen', [1, 'plain'])
        elif self.where == 'dataset_meta':
            metainfo = runner.train_dataloader.dataset.metainfo
            metainfo.update(created=datetime.now(), licence='CC0')

    def before_save_checkpoint(self, runner, checkpoint):
        if self.where == 'optimizer' and 'optimizer' in checkpoint:
            checkpoint['optimizer']['state']['extra'] = datetime.now()
        elif self.where == 'own':
            checkpoint['mine'] = dict(value=datetime.now())


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Prepares a shipped config without a teacher, made small."""
    root = make_domains(tmp_path / 'data', per_class=2)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)

    def build(work_dir, options=(), path=CONFIG, hook=None, **switches):
        config = load_config(
            path,
            {
                'train_dataloader.batch_size': 4,
                'train_dataloader.num_workers': 0,
                'train_dataloader.sampler.labelled': 4,
                'train_dataloader.sampler.epoch_length': 1,
                'val_dataloader.num_workers': 0,
                'test_dataloader.num_workers': 0,
                'train_cfg.max_epochs': 2,
                'default_hooks.checkpoint.max_keep_ckpts': -1,
                **dict(options),
            },
        )
        if hook is not None:
            config.custom_hooks.append(dict(type='Noting', **hook))
        forget_instances()
        return prepare(
            config, config_path=path, work_dir=str(work_dir), **switches
        )

    return build


@pytest.fixture
def finished(make, tmp_path):
    """The folder of a finished run of two epochs."""
    work_dir = tmp_path / 'run'
    train(make(work_dir, validate=False))
    return work_dir


def tree(folder):
    return {
        path: path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file() and path.suffix != '.log'
    }


def flip(path):
    """Flips 1 024 bytes within the largest record."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for place in range(middle, middle + 1024):
        content[place] ^= 0xFF
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def make_foreign(path):
    content = torch.load(path, weights_only=True)
    content['message_hub']['runtime_info']['started_at'] = datetime.now()
    torch.save(content, path)


@pytest.mark.parametrize('damage', [flip, cut, make_foreign])
def test_nothing_is_started_afresh_over_unreadable_checkpoints(
    make, finished, damage
):
    paths = sorted(finished.glob('epoch_*.pth'))
    for path in paths:
        damage(path)
    before = tree(finished)
    with pytest.raises(UserError) as error:
        train(make(finished, validate=False, resume='auto'))
    named = [str(path) in str(error.value) for path in paths]
    assert any(named) if damage is make_foreign else all(named)
    assert tree(finished) == before


def test_nor_over_results_whose_checkpoints_are_gone(make, finished):
    for path in finished.glob('epoch_*.pth'):
        path.unlink()
    for left in ('last_checkpoint', 'student.pth', None):
        before = tree(finished)
        with pytest.raises(UserError, match='results.json'):
            train(make(finished, validate=False, resume='auto'))
        assert tree(finished) == before
        if left is not None:
            (finished / left).unlink()


@pytest.mark.parametrize('hook', ['message_hub', 'dataset_meta'])
def test_what_a_run_goes_on_without_is_left_out(make, tmp_path, hook):
    work_dir = tmp_path / 'run'
    hook = dict(where=hook)
    train(make(work_dir, hook=hook))
    content = load_checkpoint(work_dir / 'epoch_2.pth')
    info = content['message_hub']['runtime_info']
    meta = content['meta']['dataset_meta']
    if hook['where'] == 'message_hub':
        assert info['seen'] == [1, 'plain']
        name = 'message_hub.runtime_info.started_at'
    else:
        assert meta['licence'] == 'CC0' and len(meta['classes']) == 3
        name = 'meta.dataset_meta.created'
    assert 'started_at' not in info and 'created' not in meta
    # It is said once.
    log = ''.join(path.read_text() for path in work_dir.glob('*/*.log'))
    assert log.count(name) == 1 and 'datetime.datetime' in log
    options = {'train_cfg.max_epochs': 4}
    train(make(work_dir, options, hook=hook, resume='auto'))
    results = json.loads((work_dir / 'results.json').read_text())
    assert results['epochs'] == 4
    assert [entry['epoch'] for entry in results['history']] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    'where, name', [('optimizer', 'optimizer.state.extra'), ('own', 'mine')]
)
def test_what_it_does_not_is_told_at_the_first_save(
    make, tmp_path, where, name
):
    work_dir = tmp_path / 'run'
    with pytest.raises(UserError, match=f'datetime.datetime at {name}'):
        train(make(work_dir, hook=dict(where=where)))
    assert not left_by_run(work_dir)


def test_damage_is_noticed_wherever_a_checkpoint_is_read(
    make, finished, tmp_path
):
    path = tmp_path / 'epoch_2.pth'
    shutil.copy(finished / 'epoch_2.pth', path)
    flip(path)
    student = tmp_path / 'student.pth'
    shutil.copy(finished / 'student.pth', student)
    flip(student)
    for damaged in (path, student):
        with pytest.raises(UserError, match=f'{damaged.name}.*is damaged'):
            run_test(make(tmp_path / 'test'), damaged)
    with pytest.raises(UserError, match='epoch_2.pth.*is damaged'):
        make(tmp_path / 'resumed', resume=str(path))
    backbone = tmp_path / 'backbone.pth'
    torch.save(dict(weight=torch.randn(10**5)), backbone)
    flip(backbone)
    init = dict(type='Pretrained', checkpoint=str(backbone))
    for options, name in (
        ({'load_from': str(path)}, 'epoch_2.pth'),
        ({'model.backbone.init_cfg': init}, 'backbone.pth'),
    ):
        with pytest.raises(UserError, match=f'{name}.*is damaged'):
            train(make(tmp_path / 'started', options))
    assert not (tmp_path / 'started').exists()


@pytest.mark.parametrize(
    'option, value',
    [
        ('optim_wrapper.optimizer.lr', 0.5),
        ('train_dataloader.batch_size', 6),
        ('train_dataloader.sampler.epoch_length', 2),
        ('model.head.dropout_rate', 0.7),
    ],
)
def test_a_config_that_was_edited_is_another_run(
    make, finished, option, value
):
    before = tree(finished)
    options = {option: value, 'train_cfg.max_epochs': 4}
    if option == 'train_dataloader.batch_size':
        options['train_dataloader.sampler.labelled'] = value
    with pytest.raises(UserError) as error:
        train(make(finished, options, validate=False, resume='auto'))
    for word in ('epoch_2.pth', f'expected {option}={value!r}, got'):
        assert word in str(error.value)
    assert tree(finished) == before


def test_a_config_that_was_renamed_is_not(make, finished, tmp_path):
    renamed = tmp_path / 'renamed.py'
    renamed.write_text(f'_base_ = {str(CONFIG)!r}\n')
    options = {'train_cfg.max_epochs': 3}
    train(make(finished, options, path=renamed, validate=False, resume='auto'))
    results = json.loads((finished / 'results.json').read_text())
    assert (results['config'], results['epochs']) == ('renamed.py', 3)


def test_a_run_does_not_go_on_in_the_folder_of_another(
    make, finished, tmp_path
):
    work_dir = tmp_path / 'second'
    train(make(work_dir, {'train_cfg.max_epochs': 1}, validate=False))
    start = str(finished / 'epoch_1.pth')
    before = tree(work_dir)
    with pytest.raises(UserError, match='second: expected an unused one'):
        train(make(work_dir, validate=False, resume=start))
    assert tree(work_dir) == before
    train(make(work_dir, validate=False, resume=start, overwrite=True))
    assert {path.name for path in work_dir.glob('*.pth')} == {
        'epoch_2.pth',
        'student.pth',
    }


def test_a_config_that_resumes_by_itself_does_so(make, finished):
    # What MMEngine would follow.
    (finished / 'last_checkpoint').write_text(str(finished / 'epoch_1.pth'))
    options = {'resume': True, 'train_cfg.max_epochs': 3}
    config = make(finished, options, validate=False)
    assert config.load_from == str(finished / 'epoch_2.pth')
    train(config)
    assert json.loads((finished / 'results.json').read_text())['epochs'] == 3


def test_resuming_and_overwriting_exclude_each_other(make, finished):
    before = tree(finished)
    with pytest.raises(UserError, match='--overwrite.*--resume auto'):
        make(finished, resume='auto', overwrite=True)
    config = make(
        finished, resume=str(finished / 'epoch_1.pth'), overwrite=True
    )
    with pytest.raises(UserError, match='--overwrite: would delete'):
        train(config)
    assert tree(finished) == before
