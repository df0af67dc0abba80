"""Shares of the gradient; in a run: tests/analysis/test_similarity_hook.py."""

import pytest
import torch

from mmkd_custom.engine.hooks.gradient_share import (
    GradientShareHook,
    gradient_shares,
)
from mmkd_custom.errors import UserError
from mmkd_custom.models.outputs import Outputs
from mmkd_custom.stages import DISTILLATION
from tests.helpers import build_customkd, make_batch


class Said:
    """A batch of which the student has said something."""

    def __init__(self, **outputs):
        self.outputs = outputs


def test_shares_are_norms_of_the_weighted_gradients():
    feature = torch.randn(4, 3, requires_grad=True)
    strong = torch.randn(4, 3, requires_grad=True)
    tokens = torch.randn(4, 2, 3, requires_grad=True)
    losses = dict(
        loss_ce=3 * feature.sum(),
        loss_both=4 * (feature.sum() + strong.sum()),
        # Reaches no feature, or is not reached by a gradient.
        loss_tokens=tokens.sum(),
        loss_fixed=torch.tensor(5.0),
        # MMEngine would add it to the losses.
        loss_my_loss=feature.sum(),
        teacher_top1=torch.tensor(50.0),
    )
    batch = Said(
        student=Outputs(feature),
        teacher=Outputs(torch.ones(4, 3)),
        **{'student@strong': Outputs(strong)},
    )
    shares = gradient_shares(batch, losses)
    both = 4 * 2**0.5
    assert {k: v.item() for k, v in shares.items()} == pytest.approx(
        dict(share_ce=3 / (3 + both), share_both=both / (3 + both))
    )
    assert not any(v.requires_grad for v in shares.values())
    # The graph is there still, and nothing was added to a gradient.
    assert feature.grad is None
    (losses['loss_ce'] + losses['loss_both']).backward()
    assert torch.equal(feature.grad, torch.full((4, 3), 7.0))


def test_small_gradients_in_half_precision_count():
    feature = torch.zeros(1, 2, requires_grad=True, dtype=torch.float16)
    losses = dict(
        loss_a=(feature.float() * 3e-9).sum(),
        loss_b=(feature.float() * 1e-9).sum(),
    )
    shares = gradient_shares(Said(student=Outputs(feature)), losses)
    assert shares['share_a'].item() == pytest.approx(0.75, abs=0.02)


def test_without_a_gradient_there_is_no_share():
    feature = torch.zeros(2, 2, requires_grad=True)
    losses = dict(loss_ce=(0 * feature).sum())
    assert gradient_shares(Said(), losses) == {}
    shares = gradient_shares(Said(student=Outputs(feature)), losses)
    assert shares['share_ce'] == 0


def test_mixed_precision_gets_the_same_gradients():
    found = []
    for monitor in (None, gradient_shares):
        model = build_customkd(
            prediction=dict(type='DKD'),
            feature_loss=dict(type='MSE', relative=True),
        )
        model.set_stage(DISTILLATION)
        model.train()
        model.monitor = monitor
        batch = model.data_preprocessor(make_batch([0, 1, None, None]), True)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            losses = model(**batch, mode='loss')
        model.parse_losses(losses)[0].backward()
        found.append([p.grad for p in model.parameters()])
    assert all(
        (one is None and other is None) or torch.equal(one, other)
        for one, other in zip(*found)
    )
    shares = [v for k, v in losses.items() if k.startswith('share_')]
    assert len(shares) == 4 and sum(shares).item() == pytest.approx(1)


def test_an_interval_that_is_none_is_named():
    for value in (0, 2.5, '50'):
        with pytest.raises(UserError) as error:
            GradientShareHook(value)
        for word in ('GradientShareHook.interval', repr(value)):
            assert word in str(error.value)
