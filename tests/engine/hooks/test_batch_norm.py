"""Which images BatchNorm's statistics are of, and when they are computed."""

import copy
import json

import pytest
import torch
from mmengine.hooks import EMAHook
from torch.optim.swa_utils import update_bn

from mmkd_custom.engine import BatchNormStatisticsHook
from mmkd_custom.errors import UserError
from mmkd_custom.utils.files import load_checkpoint
from tests.helpers import digests
from tests.runners import PLAIN

HOOK = dict(type='BatchNormStatisticsHook')
NAMES = ('running_mean', 'running_var')


def adding(*hooks):
    return lambda config: config.custom_hooks.extend(hooks)


def statistics(student):
    states = getattr(student, 'state_dict', lambda: student)()
    return {k: v.clone() for k, v in states.items() if k.endswith(NAMES)}


def reference(runner, student, state=None):
    """Has torch compute them of the images that the runner evaluates on."""
    student = copy.deepcopy(student)
    student.load_state_dict(state or student.state_dict())
    (batch,) = runner.val_loop.dataloader
    inputs = runner.model.data_preprocessor(batch, False)['inputs']
    update_bn([inputs], student)
    return statistics(student)


def assert_close(found, expected):
    assert found.keys() == expected.keys() and expected
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-3, atol=1e-4, msg=name
        )


def finish(runner, hook):
    """Has the hook do what it does after the last iteration."""
    hook.before_train(runner)
    hook.after_train_iter(runner)
    runner.train_loop._iter = runner.max_iters - 1
    hook.after_train_iter(runner)


def hook_of(runner, kind):
    return next(hook for hook in runner.hooks if isinstance(hook, kind))


def test_of_the_unlabelled_images_as_a_test_makes_them(small_runner):
    # All of the target is unlabelled, and evaluated on.
    runner = small_runner(validate=True, edit=adding(HOOK), **PLAIN)
    weights = digests(runner.model)
    finish(runner, hook_of(runner, BatchNormStatisticsHook))
    assert_close(statistics(runner.model), reference(runner, runner.model))
    changed = {k for k, v in digests(runner.model).items() if v != weights[k]}
    assert changed == {*statistics(runner.model)}


@pytest.mark.parametrize('update_buffers', [False, True])
def test_of_the_averaged_student(small_runner, update_buffers):
    average = dict(type='StudentEMAHook', update_buffers=update_buffers)
    runner = small_runner(validate=True, edit=adding(HOOK, average), **PLAIN)
    ema = hook_of(runner, EMAHook)
    ema.before_run(runner)
    averaged, student = ema.ema_model.module, runner.model
    with torch.no_grad():
        for value in averaged.parameters():
            value.mul_(1.1)
    own = statistics(student)
    expected = reference(runner, averaged)
    finish(runner, hook_of(runner, BatchNormStatisticsHook))
    assert_close(statistics(averaged), expected)
    # EMAHook evaluates the average with the buffers that it keeps apart, or
    # with those of the student.
    same = own if update_buffers else expected
    assert_close(statistics(student), same)


def keys(runner, **options):
    hook = BatchNormStatisticsHook(**options)
    hook.before_train(runner)
    return hook._keys


def test_streams_and_views(small_runner):
    # 3 x 3 images a domain.
    runner = small_runner(**PLAIN)
    streams = dict(labelled=range(9), unlabelled=range(9, 18), all=range(18))
    for stream, expected in streams.items():
        found = [key.index for key in keys(runner, stream=stream)]
        assert sorted(found) == list(expected)
        # Folders list their images by class.
        assert found != list(expected)
    assert len(keys(runner, batch_size=2, batches=3)) == 6
    assert {key[1:] for key in keys(runner, view='student')} == {
        (0, ('student',))
    }
    # The run's own dataset makes no view more.
    assert 'test' not in runner.train_dataloader.dataset.pipelines


def test_a_student_without_it_is_left_alone(small_runner, monkeypatch):
    runner = small_runner(**PLAIN)
    runner.model = torch.nn.Linear(2, 2)
    told = []
    monkeypatch.setattr(runner.logger, 'warning', told.append)
    finish(runner, BatchNormStatisticsHook())
    assert len(told) == 1 and 'BatchNormStatisticsHook' in told[0]


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(stream='target'), 'stream'),
        (dict(view='clean'), 'view'),
        (dict(batch_size=0), 'batch_size'),
        (dict(batches='all'), 'batches'),
    ],
)
def test_a_wrong_option_is_named(options, named):
    with pytest.raises(UserError, match=f'Hook.{named}: .*{options[named]!r}'):
        BatchNormStatisticsHook(**options)


def test_what_the_data_lack_is_named(small_runner):
    def no_target(config):
        config.train_dataloader.dataset.pop('unlabelled')
        config.train_dataloader.sampler.unlabelled = 0

    def untested(config):
        config.val_dataloader = config.test_dataloader = None
        config.val_cfg = config.test_cfg = None
        config.val_evaluator = config.test_evaluator = None

    for edit, named in ((no_target, 'stream'), (untested, 'view')):
        runner = small_runner(edit=edit, **PLAIN)
        with pytest.raises(UserError, match=f'Hook.{named}: '):
            keys(runner)
    runner.train_loop.dataloader = torch.utils.data.DataLoader([1])
    with pytest.raises(UserError, match='train_dataloader.dataset'):
        keys(runner)


@pytest.mark.slow
def test_averages_and_statistics_resume_bit_for_bit(small_runner, tmp_path):
    options = dict(
        epochs=4,
        validate=True,
        **{
            # As from the command line.
            'default_hooks.ema.type': 'StudentEMAHook',
            'default_hooks.ema.share': 0.3,
            'default_hooks.statistics.type': 'BatchNormStatisticsHook',
            'train_dataloader.sampler.epoch_length': 2,
        },
    )
    runner = small_runner('whole', **options)
    runner.train()
    whole = tmp_path / 'whole'
    found = load_checkpoint(whole / 'student.pth')['state_dict']
    assert_close(
        statistics(found), reference(runner, runner.model.student, found)
    )
    last = load_checkpoint(whole / 'epoch_4.pth')
    for name, value in found.items():
        assert torch.equal(last['state_dict'][f'student.{name}'], value)

    # In the middle; and after the last epoch, before it was evaluated.
    for epoch in (2, 4):
        work_dir = tmp_path / f'from_{epoch}'
        checkpoint = f'whole/epoch_{epoch}.pth'
        again = small_runner(work_dir.name, resume=checkpoint, **options)
        again.train()
        other = load_checkpoint(work_dir / 'student.pth')['state_dict']
        assert other.keys() == found.keys()
        assert all(torch.equal(other[name], found[name]) for name in found)
        results = [
            json.loads((folder / 'results.json').read_text())['history']
            for folder in (whole, work_dir)
        ]
        assert results[0] == results[1] and len(results[0]) == 2
        if epoch == 2:
            other = load_checkpoint(work_dir / 'epoch_4.pth')
            for key in ('state_dict', 'ema_state_dict'):
                for name, value in last[key].items():
                    assert torch.equal(other[key][name], value), (key, name)
