"""The stage of every epoch, and what cannot be trained in stages."""

import json

import pytest
import torch
from mmengine.hooks import EMAHook, Hook

from mmkd_custom.errors import UserError
from mmkd_custom.stages import CUSTOMIZATION, DISTILLATION
from tests.helpers import digests
from tests.runners import EPOCH_LENGTH, Average

PARTS = ('student', 'distillation_terms', 'teacher_projection')


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


def mixed_precision(config):
    config.optim_wrapper.update(
        type='AmpOptimWrapper',
        dtype='bfloat16',
        accumulative_counts=5,
        clip_grad=dict(max_norm=1.0),
    )


@pytest.mark.parametrize('edit', [lambda config: None, mixed_precision])
def test_stages_take_turns(small_runner, monkeypatch, edit):
    # MMEngine's wrapper wants an accelerator; its loss scaler is then idle,
    # but autocast, accumulation and clipping are those of a GPU run.
    monkeypatch.setattr(
        'mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available',
        lambda: True,
    )
    runner = small_runner(epochs=4, edit=edit)
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert watch.told == [(CUSTOMIZATION,) * 3, (DISTILLATION,) * 3] * 2
    assert (
        watch.moved
        == [
            {'teacher_projection'},
            {'student', 'distillation_terms'},
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


def general_only(config):
    config.model.specific_weight = 0.0


def uncut(config):
    config.train_dataloader.pop('batch_sampler')


def strong(config):
    config.model.terms = dict(
        strong=dict(
            loss=dict(type='KLDivergence'),
            on=('student@strong.logits', 'student.logits'),
        )
    )


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
    'options, named',
    [
        (dict(edit=iterations), 'train_cfg'),
        (dict(edit=uncut), 'batch_sampler'),
        (dict(edit=strong), 'pipelines'),
        (dict(epochs=1), 'max_epochs'),
        (
            {
                'epochs': 3,
                'model.schedule': dict(customization=3, distillation=1),
            },
            'max_epochs',
        ),
        (dict(edit=staged), 'accumulative_counts'),
        (dict(edit=one_stage), 'accumulative_counts'),
        (dict(edit=plain), 'accumulative_counts'),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    small_runner, options, named
):
    runner = small_runner(**options)
    with pytest.raises(UserError, match=named):
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
def test_the_sampler_walks_with_the_seed_of_the_run(small_runner, tmp_path):
    short = {'train_dataloader.sampler.epoch_length': 1}
    runner = small_runner(seed=7, **short)
    runner.train()
    assert runner.seed == 7
    assert runner.train_dataloader.batch_sampler.sampler.seed == 7

    def no_seed(config):
        config.randomness.seed = None
        # The random weights of its teacher are others than those cached.
        config.model.teacher.cache_dir = str(tmp_path / 'cache')

    # A run without a seed of its own goes on with that of the checkpoint.
    runner = small_runner(
        seed=7, edit=no_seed, resume='work/epoch_2.pth', **short
    )
    sampler = runner.train_dataloader.batch_sampler.sampler
    assert sampler.seed != 7
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


@pytest.mark.parametrize('edit', [iterations, staged])
def test_one_stage_alone_needs_no_rules_of_stages(small_runner, edit):
    runner = small_runner(
        edit=lambda config: (general_only(config), edit(config))
    )
    runner.train()
    assert runner.iter > 0


def test_ranks_of_different_seeds_walk_one_permutation(
    small_runner, monkeypatch
):
    told = []

    def broadcast(values):
        told.append(list(values))
        values[0] = 3  # what rank 0 says

    monkeypatch.setattr(
        'mmkd_custom.engine.hooks.stage.broadcast_object_list', broadcast
    )
    runner = small_runner(
        seed=7, **{'train_dataloader.sampler.epoch_length': 1}
    )
    runner.train()
    assert told == [[7]]
    assert runner.train_dataloader.batch_sampler.sampler.seed == 3


def test_each_epoch_logs_the_terms_of_its_own_stage(small_runner, tmp_path):
    def log_often(config):
        config.default_hooks.logger.interval = 1

    small_runner(epochs=4, edit=log_often).train()
    path = next((tmp_path / 'work').rglob('scalars.json'))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line for line in lines if 'loss' in line]
    assert len(lines) == 4 * EPOCH_LENGTH
    for line in lines:
        customizes = line['epoch'] % 2 == 1
        assert ('loss_customization' in line) == customizes, line
        assert ('loss_ce' in line) != customizes, line
        terms = sum(v for k, v in line.items() if k.startswith('loss_'))
        assert line['loss'] == pytest.approx(terms, rel=1e-4)


def test_steps_are_those_of_the_optimiser(small_runner):
    runner = small_runner(
        edit=staged, **{'train_dataloader.sampler.epoch_length': 2}
    )
    told = []
    runner.model.after_step = lambda: told.append(runner.iter)
    runner.train()
    assert told == [1, 3]


def test_the_streams_of_the_sampler_hold_for_every_stage(small_runner):
    def alone(config):
        config.model = dict(
            type='Distiller', student=config.model.student, input_size=96
        )
        config.optim_wrapper.pop('stages')
        config.train_dataloader.sampler.update(
            streams=('labelled',), epoch_length=2
        )
        config.train_dataloader.batch_size = 2

    runner = small_runner(edit=alone)
    sizes = []
    runner.model.loss_distillation = (
        lambda batch, usual=runner.model.loss_distillation: (
            sizes.append((batch.labelled.stop, len(batch))) or usual(batch)
        )
    )
    runner.train()
    assert sizes == [(2, 2)] * 4


def label_free(config):
    config.model = dict(
        type='Distiller',
        student=config.model.student,
        teacher=config.model.teacher,
        terms=dict(hint=dict(loss=dict(type='MSE'))),
        supervised_weight=0.0,
        input_size=96,
    )
    config.optim_wrapper.pop('stages')
    config.train_dataloader.dataset.pop('labelled')
    config.train_dataloader.sampler.update(labelled=0, epoch_length=2)
    config.train_dataloader.batch_size = 2


def test_a_method_that_needs_no_label_trains_without(small_runner):
    runner = small_runner(edit=label_free)
    runner.train()
    assert runner.iter == 4
    scalars = runner.message_hub.log_scalars
    assert 'train/loss_hint' in scalars and 'train/loss_ce' not in scalars


def test_the_model_is_told_the_progress_and_of_each_step(small_runner):
    runner = small_runner(**{'train_dataloader.sampler.epoch_length': 2})
    told = []
    runner.model.after_step = lambda: told.append(runner.model.progress)
    runner.train()
    assert told == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize('scope', ['mmengine', 'mmpretrain'])
def test_an_average_counts_the_steps_of_the_student(small_runner, scope):
    hook = dict(type=f'{scope}.EMAHook', momentum=Average.momentum)
    runner = small_runner(
        epochs=4, edit=lambda config: config.custom_hooks.append(hook)
    )
    average = Average()
    runner.register_hook(average)
    runner.train()
    found = next(h for h in runner.hooks if isinstance(h, EMAHook)).ema_model
    assert found.steps == average.steps == 2 * EPOCH_LENGTH
    for name, value in found.module.student.named_parameters():
        torch.testing.assert_close(
            value.double(), average.value[name], rtol=1e-4, atol=1e-6
        )
