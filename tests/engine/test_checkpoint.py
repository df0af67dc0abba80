"""Checkpoints are written whole, and only those that fit are loaded."""

import os

import pytest
import torch
import torch.nn as nn
from mmengine import fileio
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import save_checkpoint

from mmkd_custom.engine.checkpoint import AtomicBackend, StrictLoadHook
from mmkd_custom.errors import UserError

BACKEND = dict(backend='atomic')


class Toy(BaseModel):
    """A model of two tensors."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.fc(inputs)


def test_put_makes_the_folder_and_replaces(tmp_path):
    path = tmp_path / 'a' / 'b' / 'epoch_1.pth'
    AtomicBackend().put(b'first', path)
    assert path.read_bytes() == b'first'
    AtomicBackend().put(b'second', str(path))
    assert path.read_bytes() == b'second'
    assert os.listdir(path.parent) == ['epoch_1.pth']


def test_put_that_fails_keeps_the_old_file(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    AtomicBackend().put(b'old', path)
    with pytest.raises(TypeError):
        AtomicBackend().put('no bytes', path)
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['epoch_1.pth']


def test_mmengine_finds_the_backend_by_its_name(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    assert isinstance(
        fileio.get_file_backend(str(path), backend_args=BACKEND),
        AtomicBackend,
    )
    weight = torch.randn(3)
    save_checkpoint(dict(weight=weight), str(path), backend_args=BACKEND)
    saved = torch.load(path, weights_only=True)
    assert torch.equal(saved['weight'], weight)
    assert os.listdir(tmp_path) == ['epoch_1.pth']


@pytest.fixture
def load(tmp_path):
    """Loads a state dict with a runner, as load_from of a config does."""

    def run(content):
        path = tmp_path / 'weights.pth'
        torch.save(content, path)
        model = Toy()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        runner = Runner(
            model,
            work_dir=str(tmp_path / 'work'),
            load_from=str(path),
            custom_hooks=[dict(type='StrictLoadHook')],
            default_scope='mmkd_custom',
            experiment_name=tmp_path.name,
            log_level='ERROR',
        )
        assert any(type(h) is StrictLoadHook for h in runner.hooks)
        try:
            runner.load_or_resume()
        except UserError:
            for key, value in model.state_dict().items():
                assert torch.equal(value, before[key])
            raise
        return model.state_dict()

    return run


@pytest.mark.parametrize('wrapped', [True, False])
def test_an_exact_match_is_loaded(load, wrapped):
    state = Toy().state_dict()
    loaded = load(dict(state_dict=state, meta={}) if wrapped else state)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda s: s.pop('fc.bias'), ['missing fc.bias']),
        (
            lambda s: s.update(more=torch.zeros(1)),
            ['unexpected more'],
        ),
        (
            lambda s: s.update({'fc.weight': torch.zeros(3, 4)}),
            ['fc.weight', '(3, 4)', '(2, 4)'],
        ),
        (
            lambda s: s.update({'head.bias': s.pop('fc.bias')}),
            ['missing fc.bias', 'unexpected head.bias'],
        ),
    ],
)
def test_what_does_not_fit_is_refused(load, change, words):
    state = Toy().state_dict()
    change(state)
    with pytest.raises(UserError) as error:
        load(dict(state_dict=state, meta={}))
    for word in ['weights.pth', 'Toy', *words]:
        assert word in str(error.value)
