"""Every stage walks through the whole schedule in its own epochs."""

import math
import warnings

import pytest
from mmengine.hooks import Hook

from tests.runners import EPOCH_LENGTH


class Rates(Hook):
    """Notes stage and learning rate of every iteration."""

    priority = 'HIGHEST'

    def __init__(self):
        self.seen = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, **_):
        wrapper = runner.optim_wrapper
        rates = wrapper.active.get_lr()['lr']
        self.seen.setdefault(runner.model.stage, []).append(rates[0])


def rates(runner):
    hook = Rates()
    runner.register_hook(hook)
    with warnings.catch_warnings():
        # Torch's: a scheduler was stepped before its optimiser.
        warnings.filterwarnings('error', message='.*lr_scheduler.step.*')
        runner.train()
    return hook.seen


def cosine(config):
    config.param_scheduler = [
        dict(
            type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True
        )
    ]


def test_a_stage_of_half_the_epochs_takes_two_steps_at_once(small_runner):
    seen = rates(small_runner(epochs=4, edit=cosine))
    total = 4 * EPOCH_LENGTH
    wanted = [
        0.5 * (1 + math.cos(math.pi * 2 * i / total))
        for i in range(2 * EPOCH_LENGTH)
    ]
    assert seen['distillation'] == pytest.approx([3e-3 * w for w in wanted])
    assert seen['customization'] == pytest.approx([1e-3 * w for w in wanted])


def test_lengths_that_do_not_divide(small_runner):
    def edit(config):
        cosine(config)
        config.model.schedule = dict(customization=1, distillation=2)

    seen = rates(small_runner(epochs=3, edit=edit))
    total = 3 * EPOCH_LENGTH
    for stage, epochs, peak in (
        ('customization', 1, 1e-3),
        ('distillation', 2, 3e-3),
    ):
        own = epochs * EPOCH_LENGTH
        wanted = [
            peak * 0.5 * (1 + math.cos(math.pi * (i * total // own) / total))
            for i in range(own)
        ]
        assert seen[stage] == pytest.approx(wanted)


def test_schedulers_that_count_epochs(small_runner):
    def edit(config):
        config.param_scheduler = [
            dict(type='MultiStepLR', milestones=[2], gamma=0.1)
        ]

    seen = rates(small_runner(epochs=4, edit=edit))
    wanted = [3e-3] * EPOCH_LENGTH + [3e-4] * EPOCH_LENGTH
    assert seen['distillation'] == pytest.approx(wanted)


def test_without_stages_it_is_mmengines_hook(small_runner):
    runner = small_runner(
        name='labelled_only/labelled_only_mbv3_domain_folder.py',
        edit=cosine,
        **{'train_dataloader.batch_size': 2},
    )
    seen = []

    class Plain(Hook):
        priority = 'HIGHEST'

        def after_train_iter(self, runner, batch_idx, data_batch=None, **_):
            seen.append(runner.optim_wrapper.get_lr()['lr'][0])

    runner.register_hook(Plain())
    runner.train()
    total = 2 * EPOCH_LENGTH
    assert seen == pytest.approx(
        [
            3e-3 * 0.5 * (1 + math.cos(math.pi * i / total))
            for i in range(total)
        ]
    )
