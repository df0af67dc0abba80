"""Dropout of an epoch is the same whether the run was interrupted or not."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmkd_custom.engine import EpochSeedHook
from mmkd_custom.registry import HOOKS
from tests.helpers import digests

# Starting a worker draws from the global generator, and a persistent one is
# started once: in the first epoch of the process, whichever that is.
WORKERS = {'train_dataloader.num_workers': 1}


@HOOKS.register_module(force=True)
class EarlySeedHook(EpochSeedHook):
    """Seeds before an epoch's workers are started, which is too early."""

    def before_train_epoch(self, runner):
        super().before_train_iter(runner, 0)

    def before_train_iter(self, *_, **__):
        pass


def seeded_early(config):
    for hook in config.custom_hooks:
        if hook['type'] == 'EpochSeedHook':
            hook['type'] = 'EarlySeedHook'


def without_seeds(config):
    config.custom_hooks = [
        hook for hook in config.custom_hooks if hook['type'] != 'EpochSeedHook'
    ]


def train(runner):
    runner.train()
    assert runner.epoch == 4
    assert runner.train_dataloader.persistent_workers
    return digests(runner.model)


def dropouts(model):
    return [
        module
        for module in model.student.modules()
        if isinstance(module, torch.nn.Dropout) and module.p > 0
    ]


@pytest.mark.slow
def test_resumed_epochs_draw_as_uninterrupted_ones(small_runner):
    runner = small_runner('whole', epochs=4, **WORKERS)
    assert dropouts(runner.model)
    whole = train(runner)
    for epoch in (1, 2):
        runner = small_runner(
            f'resumed_{epoch}',
            epochs=4,
            resume=f'whole/epoch_{epoch}.pth',
            **WORKERS,
        )
        got = train(runner)
        assert [key for key in whole if got[key] != whole[key]] == [], epoch


@pytest.mark.slow
@pytest.mark.parametrize(
    'edit, epoch', [(without_seeds, 2), (seeded_early, 1)]
)
def test_it_is_the_seeding_that_makes_them_equal(small_runner, edit, epoch):
    options = dict(epochs=4, edit=edit, **WORKERS)
    whole = train(small_runner('whole', **options))
    checkpoint = f'whole/epoch_{epoch}.pth'
    got = train(small_runner('resumed', resume=checkpoint, **options))
    assert [key for key in whole if got[key] != whole[key]]


def test_epochs_and_seeds_draw_differently():
    drawn = []
    hook = EpochSeedHook()
    for seed in (0, 1):
        for epoch in (0, 1):
            runner = SimpleNamespace(seed=seed, epoch=epoch)
            hook.before_train_iter(runner, 0)
            first = _draw()
            # The later iterations of an epoch go on drawing.
            hook.before_train_iter(runner, 1)
            assert not set(_draw()) & set(first)
            hook.before_train_iter(runner, 0)
            assert _draw() == first
            drawn.extend(first)
    assert len(set(drawn)) == len(drawn) == 12


def _draw():
    """One number of each global generator."""
    return [random.random(), np.random.rand(), torch.rand(1).item()]
