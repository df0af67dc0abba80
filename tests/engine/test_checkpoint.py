"""Checkpoints are written whole, and only those that fit are loaded."""

import os
import threading
from datetime import datetime
from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn
from mmengine import fileio
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import save_checkpoint
from mmpretrain.models import AverageClsScoreTTA

from mmkd_custom.engine.checkpoint import (
    AtomicBackend,
    StrictLoadHook,
    unstorable,
)
from mmkd_custom.errors import UserError
from mmkd_custom.utils.runs import RUN_KEY

BACKEND = dict(backend='atomic')


class Toy(BaseModel):
    """A model of two tensors."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.fc(inputs)


def test_mmengine_finds_the_backend_by_its_name(tmp_path):
    path = tmp_path / 'a' / 'b' / 'epoch_1.pth'
    backend = fileio.get_file_backend(str(path), backend_args=BACKEND)
    assert isinstance(backend, AtomicBackend)
    # The folder is made, and the file replaced.
    backend.put(b'old', path)
    weight = torch.randn(3)
    save_checkpoint(dict(weight=weight), str(path), backend_args=BACKEND)
    saved = torch.load(path, weights_only=True)
    assert torch.equal(saved['weight'], weight)
    assert os.listdir(path.parent) == ['epoch_1.pth']


@pytest.fixture
def load(tmp_path):
    """Loads a state dict with a runner, as load_from of a config does."""

    def run(content, wrap=lambda model: model):
        path = tmp_path / 'weights.pth'
        torch.save(content, path)
        model = Toy()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        runner = Runner(
            wrap(model),
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
@pytest.mark.parametrize('augmented', [True, False])
def test_exact_match_is_loaded(load, wrapped, augmented):
    def wrap(model):
        return AverageClsScoreTTA(module=model) if augmented else model

    state = Toy().state_dict()
    loaded = load(dict(state_dict=state, meta={}) if wrapped else state, wrap)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    state.pop('fc.bias')
    with pytest.raises(UserError, match='Toy.*fc.bias'):
        load(dict(state_dict=state), wrap)


@pytest.mark.parametrize(
    'changed, words',
    [
        (dict(more=torch.zeros(1)), ['unexpected more']),
        ({'fc.weight': torch.zeros(3, 4)}, ['fc.weight', '(3, 4)', '(2, 4)']),
    ],
)
def test_what_does_not_fit_is_refused(load, changed, words):
    with pytest.raises(UserError) as error:
        load(dict(state_dict={**Toy().state_dict(), **changed}, meta={}))
    for word in ['weights.pth', 'Toy', *words]:
        assert word in str(error.value)


THIS = dict(config='a.py', seed=0, task='art->photo', split_sha256='f00')


def resume(written, asked, resume=True):
    """Asks the hook whether a run may go on from a run's checkpoint."""
    runner = SimpleNamespace(
        model=Toy(),
        message_hub=SimpleNamespace(runtime_info={RUN_KEY: asked}),
        _load_from='epoch_3.pth',
        _resume=resume,
    )
    info = {} if written is None else {RUN_KEY: written}
    hub = dict(runtime_info=info)
    checkpoint = dict(state_dict=Toy().state_dict(), message_hub=hub)
    StrictLoadHook().after_load_checkpoint(runner, checkpoint)


@pytest.mark.parametrize(
    'field, value', [('config', 'b.py'), ('seed', 1), ('split_sha256', 'ba4')]
)
def test_checkpoint_of_another_run_is_not_resumed(field, value):
    other = {**THIS, field: value}
    with pytest.raises(UserError) as error:
        resume(other, THIS)
    for word in ('epoch_3.pth', field, repr(value), '--overwrite'):
        assert word in str(error.value)
    # Its weights may be started from, or tested.
    resume(other, THIS, resume=False)


def test_checkpoint_that_does_not_tell_its_run_is_resumed():
    resume(THIS, THIS)
    resume(None, THIS)
    # Without a seed of its own a run takes that of the checkpoint.
    resume(THIS, dict(THIS, seed=None, task=None))


def test_what_runs_store_is_storable():
    model = nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = dict(
        meta=dict(epoch=1, classes=('a', 'b'), rate=0.1, none=None),
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1]))),
    )
    assert list(unstorable(content)) == []


@pytest.mark.parametrize(
    'value', [datetime.now(), threading.Lock(), {datetime.now(): 1}]
)
def test_unstorable_object_is_found_wherever_it_is(value):
    content = dict(
        meta=dict(a=1, b=[0, dict(c=(1, value))]),
        optimizer=dict(state={0: dict(x=torch.ones(2), y=value)}),
    )
    assert list(unstorable(content)) == [
        (('meta', 'b', 1, 'c', 1), value),
        (('optimizer', 'state', 0, 'y'), value),
    ]


def test_a_large_checkpoint_costs_little(monkeypatch):
    saved = []
    save = torch.save
    monkeypatch.setattr(
        torch,
        'save',
        lambda what, file: (save(what, file), saved.append(file)),
    )
    content = dict(
        state_dict=dict(weight=torch.zeros(10**6)),
        message_hub=dict(loss=HistoryBuffer([1.0] * 10**5, [1] * 10**5)),
    )
    assert list(unstorable(content)) == []
    (file,) = saved
    assert len(file.getvalue()) < 2000
