"""Averages of the student over shares of the run."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook, Hook

from mmkd_custom.engine import StudentEMAHook, StudentSWAHook
from mmkd_custom.engine.hooks.averages import decay
from mmkd_custom.errors import UserError
from mmkd_custom.stages import DISTILLATION


class Weights(Hook):
    """Notes the student's weights after each of its own steps."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, *_, **__):
        if runner.model.stage == DISTILLATION:
            parameters = runner.model.student.named_parameters()
            self.seen.append({k: v.detach().double() for k, v in parameters})


def assert_close(found, expected):
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name].double(), value, rtol=1e-4, atol=1e-6, msg=name
        )


def test_decay():
    assert decay(0.1, 640) == pytest.approx(0.98923, abs=5e-6)
    # A half-life later, half.
    assert decay(0.1, 640) ** 64 == pytest.approx(0.5)


def test_averages_follow_the_steps_of_the_student(small_runner):
    runner = small_runner(
        # Half of the four epochs, each of three iterations, customize.
        epochs=4,
        edit=lambda config: config.custom_hooks.extend(
            [
                dict(type='StudentEMAHook', share=0.1),
                dict(type='StudentSWAHook', share=0.6),
            ]
        ),
        **{
            'train_dataloader.sampler.epoch_length': 3,
            # Checkpoints take most of the time.
            'default_hooks.checkpoint.interval': 100,
        },
    )
    weights = Weights()
    runner.register_hook(weights)
    runner.train()
    seen = weights.seen
    assert len(seen) == 6
    ema, swa = (
        dict(hook.ema_model.module.student.named_parameters())
        for hook in runner.hooks
        if isinstance(hook, EMAHook)
    )
    limit = 0.5 ** (1 / (0.1 * 6))
    expected, used = seen[0], set()
    for averages, now in enumerate(seen[1:]):
        d = min(limit, (1 + averages) / (10 + averages))
        used.add(d)
        expected = {
            name: d * value + (1 - d) * now[name]
            for name, value in expected.items()
        }
    # The warm-up and what follows it.
    assert limit in used and len(used) == 5
    assert_close(ema, expected)
    # 7.2 of the 12 iterations, of which the first and the last three train
    # the student.
    for name, value in swa.items():
        mean = sum(each[name] for each in seen[-4:]) / 4
        assert_close({name: value}, {name: mean})


@pytest.mark.parametrize('done, steps', [(4, 0), (8, 2)])
def test_a_longer_run_starts_its_mean_anew(done, steps):
    # Resumed after the last part of a run of 4 had begun; that of 10 begins
    # with the sixth iteration.
    hook = StudentSWAHook(share=0.5)
    runner = SimpleNamespace(
        model=torch.nn.Linear(1, 1), iter=done, max_iters=10, _resume=True
    )
    hook.before_run(runner)
    hook.ema_model.steps.fill_(2)
    hook.before_train(runner)
    assert hook.begin_iter == 6 and hook.ema_model.steps == steps


@pytest.mark.parametrize(
    'kind, option, value',
    [
        (StudentEMAHook, 'share', 0),
        (StudentEMAHook, 'share', 1.5),
        (StudentEMAHook, 'share', 'abc'),
        (StudentSWAHook, 'share', True),
        (StudentSWAHook, 'interval', 0),
    ],
)
def test_a_wrong_option_is_named(kind, option, value):
    with pytest.raises(UserError) as error:
        kind(**{option: value})
    assert f'{kind.__name__}.{option}' in str(error.value)
    assert repr(value) in str(error.value)
