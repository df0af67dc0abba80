"""A loss that is not finite leaves no result, or is left out."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from mmkd_custom.engine import FiniteLossHook
from mmkd_custom.engine.hooks import finite_loss
from mmkd_custom.errors import UserError
from mmkd_custom.utils.files import load_checkpoint
from tests.helpers import digests
from tests.runners import EPOCH_LENGTH

DISTILLED = dict()
SOURCE_ONLY = {
    'name': 'labelled_only/labelled_only_mbv3_domain_folder.py',
    'train_dataloader.batch_size': 2,
}
AT = EPOCH_LENGTH + 2


class Poison(Hook):
    """Spoils the cross entropy, and the statistics, of one iteration."""

    priority = 'LOWEST'

    def __init__(self, value=math.nan):
        self.value = value
        self.changed = []

    def before_train(self, runner):
        self.now = 0
        student = getattr(runner.model, 'student', runner.model)
        student.head.loss_module.register_forward_hook(self._spoil)
        self.norm = next(
            m for m in student.modules() if isinstance(m, nn.BatchNorm2d)
        )
        self.student = student

    def _spoil(self, module, args, output):
        if self.now != AT:
            return output
        self.norm.running_mean.data.fill_(math.nan)
        return output * self.value

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.now = runner.iter + 1
        self.before = digests(self.student)
        if self.now == AT:
            self.samples = [
                s.metainfo['sample_idx'] for s in data_batch['data_samples']
            ]

    def after_train_iter(self, runner, *_, **__):
        self.changed.append(digests(self.student) != self.before)


def one_checkpoint(config):
    config.default_hooks.checkpoint.max_keep_ckpts = 1


def no_hook(config):
    one_checkpoint(config)
    config.custom_hooks = [
        h for h in config.custom_hooks if h.type != 'FiniteLossHook'
    ]


def by_iterations(config):
    one_checkpoint(config)
    config.default_hooks.checkpoint.update(by_epoch=False, interval=1)


@pytest.mark.parametrize(
    'kind, value',
    [(DISTILLED, math.inf), (SOURCE_ONLY, math.nan)],
)
def test_it_stops_and_names_term_iteration_and_samples(
    small_runner, tmp_path, kind, value
):
    runner = small_runner(edit=one_checkpoint, **kind)
    poison = Poison(value)
    runner.register_hook(poison)
    with pytest.raises(UserError) as caught:
        runner.train()
    words = str(caught.value)
    term = 'loss' if kind is SOURCE_ONLY else 'loss_ce'
    assert f'{term}={value}' in words
    assert f'iteration {AT} ' in words
    assert ', '.join(map(str, poison.samples)) in words
    found = sorted(p.name for p in (tmp_path / 'work').glob('*.pth'))
    # Neither a result nor a new checkpoint, and the good one is kept.
    assert found == ['epoch_1.pth']
    weights = load_checkpoint(tmp_path / 'work' / 'epoch_1.pth')['state_dict']
    assert all(torch.isfinite(v).all() for v in weights.values())


@pytest.mark.parametrize('edit', [one_checkpoint, by_iterations])
def test_weights_that_are_not_finite_are_not_saved(
    small_runner, tmp_path, edit
):
    class Spoil(Hook):
        priority = 'HIGHEST'

        def after_train_iter(self, runner, *_, **__):
            if runner.iter + 1 == 2 * EPOCH_LENGTH:
                next(runner.model.student.parameters()).data.fill_(math.inf)

    runner = small_runner(edit=edit)
    runner.register_hook(Spoil())
    with pytest.raises(UserError, match='student.backbone'):
        runner.train()
    found = [p.name for p in (tmp_path / 'work').glob('*.pth')]
    last = (
        f'iter_{2 * EPOCH_LENGTH - 1}' if edit is by_iterations else 'epoch_1'
    )
    assert found == [f'{last}.pth']


def skip(config):
    for hook in config.custom_hooks:
        if hook.type == 'FiniteLossHook':
            hook.action = 'skip'


@pytest.mark.parametrize('kind', [DISTILLED, SOURCE_ONLY])
def test_an_iteration_can_be_left_out(small_runner, tmp_path, kind):
    runner = small_runner(edit=skip, **kind)
    poison = Poison()
    runner.register_hook(poison)
    runner.train()
    start = 1 if kind is SOURCE_ONLY else EPOCH_LENGTH + 1
    still = [i for i, c in enumerate(poison.changed, 1) if not c]
    # Customization leaves the student as it is, the spoilt iteration too.
    assert still == [*range(1, start), AT]
    work = tmp_path / 'work'
    results = json.loads((work / 'results.json').read_text())
    assert results['skipped_iterations'] == 1
    student = load_checkpoint(work / 'student.pth')['state_dict']
    assert all(torch.isfinite(v).all() for v in student.values())


def test_another_action_is_refused():
    with pytest.raises(UserError, match="action=.*'skip'"):
        FiniteLossHook('ignore')


def test_every_training_has_it(small_runner):
    runner = small_runner(edit=no_hook, **SOURCE_ONLY)
    runner.register_hook(Poison())
    with pytest.raises(UserError, match='loss=nan'):
        runner.train()


def test_what_another_rank_cannot_use_is_left_out(monkeypatch):
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper)
    hook = FiniteLossHook('skip')
    hook.before_train(runner)
    moved = []
    for others in (1.0, 0.0, 1.0):

        def all_reduce(flag, op, others=others):
            assert op == 'min'
            flag.clamp_(max=others)

        monkeypatch.setattr(finite_loss, 'all_reduce', all_reduce)
        hook.before_train_iter(runner, 0)
        before = model.weight.detach().clone()
        wrapper.update_params(model(torch.ones(1, 2)).square().sum())
        moved.append(not torch.equal(model.weight, before))
    assert moved == [True, False, True]
