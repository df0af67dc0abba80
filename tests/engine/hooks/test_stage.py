"""The stage of every epoch, and what cannot be trained in stages."""

import pytest
from mmengine.hooks import Hook

from mmkd_custom.errors import UserError
from mmkd_custom.stages import CUSTOMIZATION, DISTILLATION
from tests.helpers import digests

PARTS = ('student', 'student_projection', 'teacher_projection')


class Watch(Hook):
    """Notes who is in which stage, and which part of the model moves."""

    priority = 'LOWEST'

    def __init__(self):
        self.told, self.moved, self.drawn = [], [], []

    def _digests(self, runner):
        return {part: digests(getattr(runner.model, part)) for part in PARTS}

    def before_train_epoch(self, runner):
        self.before = self._digests(runner)
        wrapper = runner.optim_wrapper
        self.told.append(
            (
                runner.model.stage,
                next(k for k, w in wrapper.items() if w is wrapper.active),
                runner.message_hub.get_info('stage'),
            )
        )

    def after_train_iter(self, runner, batch_idx, data_batch=None, **_):
        if batch_idx == 0:
            self.drawn.append(len(data_batch['inputs']))

    def after_train_epoch(self, runner):
        after = self._digests(runner)
        self.moved.append(
            {part for part in PARTS if after[part] != self.before[part]}
        )


def test_stages_take_turns(small_runner):
    runner = small_runner(epochs=4)
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert watch.told == [(CUSTOMIZATION,) * 3, (DISTILLATION,) * 3] * 2
    assert (
        watch.moved
        == [
            {'teacher_projection'},
            {'student', 'student_projection'},
        ]
        * 2
    )
    # Customization draws labelled images alone.
    assert watch.drawn == [2, 4, 2, 4]


@pytest.mark.slow
def test_a_resumed_run_is_in_the_stage_of_its_epoch(small_runner):
    small_runner(epochs=2).train()
    runner = small_runner(epochs=4, resume='work/epoch_1.pth')
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert [stage for stage, _, _ in watch.told] == [
        DISTILLATION,
        CUSTOMIZATION,
        DISTILLATION,
    ]
    assert watch.drawn == [4, 2, 4]


def iterations(config):
    config.train_cfg = dict(by_epoch=False, max_iters=4)
    config.param_scheduler = None


def staged(config):
    config.optim_wrapper.accumulative_counts = 2


def one_stage(config):
    config.optim_wrapper.stages.distillation = dict(accumulative_counts=3)


def plain(config):
    config.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=0.1),
        accumulative_counts=2,
    )


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(edit=iterations), 'IterBasedTrainLoop.*by_epoch'),
        (dict(epochs=1), 'max_epochs=1'),
        (
            {
                'epochs': 3,
                'model.schedule': dict(customization=3, distillation=1),
            },
            'max_epochs=3',
        ),
        (dict(edit=staged), 'accumulative_counts=2.* 5 iterations'),
        (dict(edit=one_stage), 'accumulative_counts=3.* 5 iterations'),
        (dict(edit=plain), 'accumulative_counts=2.* 5 iterations'),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    small_runner, options, words
):
    runner = small_runner(**options)
    with pytest.raises(UserError, match=words):
        runner.train()
    assert runner.iter == 0


@pytest.mark.parametrize('edit', [staged, plain])
def test_accumulation_that_divides_the_epoch_is_taken(small_runner, edit):
    runner = small_runner(
        edit=edit, **{'train_dataloader.sampler.epoch_length': 2}
    )
    runner.train()
    assert runner.epoch == 2


@pytest.mark.slow
def test_the_sampler_walks_with_the_seed_of_the_run(small_runner):
    short = {'train_dataloader.sampler.epoch_length': 1}
    runner = small_runner(seed=7, **short)
    runner.train()
    assert runner.seed == 7
    assert runner.train_dataloader.batch_sampler.sampler.seed == 7
    # The checkpoints know the seed of a run, whatever the config says later.
    runner = small_runner(seed=5, resume='work/epoch_2.pth', **short)
    sampler = runner.train_dataloader.batch_sampler.sampler
    assert sampler.seed == 5
    runner.train()
    assert runner.seed == 7
    assert sampler.seed == 7


def test_a_seed_in_the_config_is_kept(small_runner):
    runner = small_runner(
        seed=7,
        **{
            'train_dataloader.sampler.seed': 11,
            'train_dataloader.sampler.epoch_length': 1,
        },
    )
    runner.train()
    assert runner.train_dataloader.batch_sampler.sampler.seed == 11
