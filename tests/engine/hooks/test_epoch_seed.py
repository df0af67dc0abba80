"""Dropout of an epoch is the same whether the run was interrupted or not."""

import pytest
import torch

from tests.helpers import digests

# Starting a worker draws from the global generator, and a persistent one is
# started once: in the first epoch of the process, whichever that is.
WORKERS = {'train_dataloader.num_workers': 1}


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
def test_it_is_the_seeding_that_makes_them_equal(small_runner):
    options = dict(epochs=4, edit=without_seeds, **WORKERS)
    whole = train(small_runner('whole', **options))
    runner = small_runner('resumed', resume='whole/epoch_1.pth', **options)
    got = train(runner)
    assert (
        got['student.head.layers.1.fc.weight']
        != (whole['student.head.layers.1.fc.weight'])
    )


def test_ranks_epochs_and_seeds_draw_differently(small_runner):
    from mmkd_custom.engine import EpochSeedHook

    drawn = []
    for seed in (0, 1):
        runner = small_runner(seed=seed)
        runner.train()
        for epoch in (0, 1):
            runner.train_loop._epoch = epoch
            EpochSeedHook().before_train_iter(runner, 0)
            drawn.append(torch.rand(4).tolist())
            state = torch.get_rng_state()
            EpochSeedHook().before_train_iter(runner, 1)
            assert torch.equal(torch.get_rng_state(), state)
            EpochSeedHook().before_train_iter(runner, 0)
            assert torch.rand(4).tolist() == drawn[-1]
    assert len({tuple(values) for values in drawn}) == 4
