"""Dropout of an epoch is the same whether the run was interrupted or not."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmkd_custom.engine import EpochSeedHook
from tests.helpers import digests

# Starting a worker draws from the global generator, and a persistent one is
# started once: in the first epoch of the process, whichever that is.
WORKERS = {
    'train_dataloader.num_workers': 1,
    'train_dataloader.sampler.epoch_length': 2,
}


def as_shipped(config):
    pass


def with_fresh_views(config):
    """A live teacher is asked in every step about views never met again."""
    config.model.teacher = config.model.teacher.teacher
    config.train_dataloader.sampler.num_views = None


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
@pytest.mark.parametrize('edit', [as_shipped, with_fresh_views, without_seeds])
def test_resumed_epoch_draws_as_uninterrupted_one(small_runner, edit):
    # Without the hook they differ, so the comparison means something.
    options = dict(epochs=4, edit=edit, **WORKERS)
    runner = small_runner('whole', **options)
    assert dropouts(runner.model)
    whole = train(runner)
    got = train(small_runner(resume='whole/epoch_2.pth', **options))
    assert (got == whole) == (edit is not without_seeds)


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
