"""Averages of the student over shares of the run."""

import pytest
import torch
from mmengine.hooks import EMAHook, Hook

from mmkd_custom.engine import StudentEMAHook, StudentSWAHook
from mmkd_custom.engine.hooks.averages import decay
from mmkd_custom.errors import UserError
from mmkd_custom.stages import DISTILLATION
from tests.runners import EPOCH_LENGTH, PLAIN


class Weights(Hook):
    """Notes the student's weights after each of its own steps."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, *_, **__):
        model = runner.model
        if getattr(model, 'stage', DISTILLATION) == DISTILLATION:
            student = getattr(model, 'student', model)
            self.seen.append(
                {
                    name: value.detach().double()
                    for name, value in student.named_parameters()
                }
            )


def trained(make, hook, **options):
    # Checkpoints take most of the time.
    rare = {'default_hooks.checkpoint.interval': 100}
    runner = make(
        edit=lambda config: config.custom_hooks.append(hook),
        **rare,
        **options,
    )
    weights = Weights()
    runner.register_hook(weights)
    runner.train()
    found = next(h for h in runner.hooks if isinstance(h, EMAHook)).ema_model
    module = getattr(found.module, 'student', found.module)
    return dict(module.named_parameters()), weights.seen


def assert_close(found, expected):
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name].double(), value, rtol=1e-4, atol=1e-6, msg=name
        )


def test_decay():
    assert decay(0.1, 640) == pytest.approx(0.98923, abs=5e-6)
    # A half-life later, half.
    assert decay(0.1, 640) ** 64 == pytest.approx(0.5)


def test_the_decay_follows_the_steps_of_the_student(small_runner):
    # Half of the four epochs customize.
    hook = dict(type='StudentEMAHook', share=0.05)
    found, seen = trained(small_runner, hook, epochs=4)
    assert len(seen) == 2 * EPOCH_LENGTH
    limit = 0.5 ** (1 / (0.05 * 2 * EPOCH_LENGTH))
    expected, used = seen[0], set()
    for averages, now in enumerate(seen[1:]):
        d = min(limit, (1 + averages) / (10 + averages))
        used.add(d)
        expected = {
            name: d * value + (1 - d) * now[name]
            for name, value in expected.items()
        }
    # The warm-up and what follows it.
    assert limit in used and len(used) > 2
    assert_close(found, expected)


def test_the_mean_of_the_last_part(small_runner):
    options = dict(PLAIN, **{'train_dataloader.sampler.epoch_length': 2})
    hook = dict(type='StudentSWAHook', share=0.6)
    found, seen = trained(small_runner, hook, epochs=4, **options)
    # 4.8 of 8 iterations.
    expected = {
        name: sum(each[name] for each in seen[-5:]) / 5 for name in seen[0]
    }
    assert_close(found, expected)


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
