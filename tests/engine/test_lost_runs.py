"""No run is lost or taken for another, whatever became of its files."""

import json
import shutil
from datetime import datetime

import pytest
import torch
from mmengine.hooks import Hook

from mmkd_custom.engine.launch import test as run_test
from mmkd_custom.engine.launch import train
from mmkd_custom.errors import UserError
from mmkd_custom.registry import HOOKS
from mmkd_custom.utils.files import load_checkpoint
from mmkd_custom.utils.runs import left_by_run
from tests.runners import PLAIN


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
def noting(monkeypatch):
    """An edit of a config that has such a hook."""
    monkeypatch.setitem(HOOKS.module_dict, 'Noting', Noting)
    return lambda where: (
        lambda config: config.custom_hooks.append(
            dict(type='Noting', where=where)
        )
    )


@pytest.fixture
def finished(small_config, tmp_path):
    """The folder of a finished run of two epochs."""
    train(small_config('run', **PLAIN))
    return tmp_path / 'run'


def flip(path):
    """Flips 1 024 bytes within the largest record."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for place in range(middle, middle + 1024):
        content[place] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize('hook', ['message_hub', 'dataset_meta'])
def test_unstorable_notes_are_left_out(small_config, tmp_path, noting, hook):
    train(small_config('run', edit=noting(hook), **PLAIN))
    content = load_checkpoint(tmp_path / 'run' / 'epoch_2.pth')
    info = content['message_hub']['runtime_info']
    meta = content['meta']['dataset_meta']
    if hook == 'message_hub':
        assert info['seen'] == [1, 'plain']
        name = 'message_hub.runtime_info.started_at'
    else:
        assert meta['licence'] == 'CC0' and len(meta['classes']) == 3
        name = 'meta.dataset_meta.created'
    assert 'started_at' not in info and 'created' not in meta
    # It is said once.
    logs = (tmp_path / 'run').glob('*/*.log')
    assert ''.join(path.read_text() for path in logs).count(name) == 1
    options = dict(epochs=3, resume='auto', edit=noting(hook), **PLAIN)
    train(small_config('run', **options))
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert results['epochs'] == 3


@pytest.mark.parametrize(
    'where, name', [('optimizer', 'optimizer.state.extra'), ('own', 'mine')]
)
def test_unstorable_state_stops_at_the_first_save(
    small_config, tmp_path, noting, where, name
):
    with pytest.raises(UserError, match=f'datetime.datetime at {name}'):
        train(small_config('run', edit=noting(where), **PLAIN))
    assert not left_by_run(tmp_path / 'run')


def test_damage_is_noticed_wherever_a_checkpoint_is_read(
    small_config, finished, tmp_path
):
    for name in ('epoch_2.pth', 'student.pth'):
        shutil.copy(finished / name, tmp_path)
        flip(tmp_path / name)
        with pytest.raises(UserError, match=name):
            run_test(small_config('test', **PLAIN), tmp_path / name)
    with pytest.raises(UserError, match='epoch_2.pth'):
        small_config('resumed', resume='epoch_2.pth', **PLAIN)
    backbone = tmp_path / 'backbone.pth'
    torch.save(dict(weight=torch.randn(10**5)), backbone)
    flip(backbone)
    init = dict(type='Pretrained', checkpoint=str(backbone))
    for options, name in (
        ({'load_from': str(tmp_path / 'epoch_2.pth')}, 'epoch_2.pth'),
        ({'model.backbone.init_cfg': init}, 'backbone.pth'),
    ):
        with pytest.raises(UserError, match=name):
            train(small_config('started', **options, **PLAIN))


@pytest.mark.parametrize(
    'change, words',
    [
        ('damage', ['epoch_1.pth', 'epoch_2.pth']),
        ('edit', ['epoch_2.pth', 'optimizer.lr', '0.5']),
    ],
)
def test_finished_run_that_cannot_go_on_is_untouched(
    small_config, finished, change, words
):
    options = dict(epochs=4, resume='auto', **PLAIN)
    if change == 'edit':
        options['optim_wrapper.optimizer.lr'] = 0.5
    else:
        for path in finished.glob('epoch_*.pth'):
            flip(path)
    before = {path: path.read_bytes() for path in left_by_run(finished)}
    with pytest.raises(UserError) as error:
        train(small_config('run', **options))
    assert all(word in str(error.value) for word in words)
    assert before == {p: p.read_bytes() for p in left_by_run(finished)}


def test_config_that_resumes_by_itself_goes_on(small_config, finished):
    # What MMEngine would follow.
    (finished / 'last_checkpoint').write_text(str(finished / 'epoch_1.pth'))
    config = small_config(
        'run', epochs=3, edit=lambda c: c.update(resume=True), **PLAIN
    )
    assert config.load_from == str(finished / 'epoch_2.pth')
    train(config)
    assert json.loads((finished / 'results.json').read_text())['epochs'] == 3
