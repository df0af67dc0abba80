"""Runs whose last epochs round."""

import pytest
import torch

from mmkd_custom.engine.config import load_config
from mmkd_custom.engine.launch import build_runner
from mmkd_custom.engine.quantization import QuantizeHook
from mmkd_custom.errors import UserError
from mmkd_custom.expand.quantize import set_quantize
from tests.runners import PLAIN


def quantized(epochs):
    def edit(config):
        config.quantize = dict(epochs=epochs)
        set_quantize(config)

    return edit


class Spy(QuantizeHook):
    """Notes in which iterations the student rounded."""

    rounded = ()

    def before_train_iter(self, runner, *args, **kwargs):
        super().before_train_iter(runner, *args, **kwargs)
        self.rounded += ((runner.epoch, self._attached is not None),)


def spied(runner):
    (hook,) = [h for h in runner.hooks if isinstance(h, QuantizeHook)]
    hook.__class__ = Spy
    return hook


def weights(runner):
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


def test_last_epochs_round_and_resume_alike(small_config, tmp_path):
    options = {
        'epochs': 4,
        'edit': quantized(2),
        # One that is filled anew rounds as its batches happen to be.
        'model.teacher.cache_dir': str(tmp_path / 'cache'),
    }
    straight = build_runner(small_config('straight', **options))
    spy = spied(straight)
    straight.train()
    assert {e for e, rounds in spy.rounded if rounds} == {2, 3}
    wanted = weights(straight)
    assert any(name.startswith('fake_quantizers.') for name in wanted)
    student = torch.load(
        tmp_path / 'straight' / 'student.pth', weights_only=True
    )['state_dict']
    assert set(student) == set(straight.model.student.state_dict())

    resumed = build_runner(
        small_config('resumed', resume='straight/epoch_3.pth', **options)
    )
    resumed.train()
    found = weights(resumed)
    assert not [k for k in wanted if not torch.equal(found[k], wanted[k])]


def test_run_starts_from_one_that_never_rounded(small_config, tmp_path):
    build_runner(small_config('first')).train()
    start = str(tmp_path / 'first' / 'epoch_2.pth')
    tuned = build_runner(
        small_config('tuned', edit=quantized(2), load_from=start)
    )
    spy = spied(tuned)
    tuned.train()
    assert all(rounds for _, rounds in spy.rounded)


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(edit=quantized(0)), 'quantize.epochs'),
        (dict(edit=quantized(3)), 'quantize.epochs.*2.*3'),
        # Epoch 3 of an alternation is one of customization.
        (dict(edit=quantized(1), epochs=3), 'quantize.epochs'),
        (
            dict(edit=quantized(1), **PLAIN),
            'quantize: .*ImageClassifier',
        ),
    ],
)
def test_what_has_no_such_epochs_is_refused(small_config, options, named):
    with pytest.raises(UserError, match=named):
        build_runner(small_config(**options)).train()


@pytest.mark.parametrize('value', [4, dict(), dict(epochs=1, bits=4)])
def test_key_is_refused(value, tmp_path):
    path = tmp_path / 'c.py'
    path.write_text(f'model = dict()\nquantize = {value!r}\n')
    with pytest.raises(UserError, match='quantize'):
        load_config(path)
