"""DIME-FM's losses: their equations, and one loss for all processes."""

import pytest
import torch
import torch.distributed as dist

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses.relations import (
    ImageDistanceKL,
    PseudoVisionLanguageKL,
    VisionLanguageKL,
)
from tests.two_ranks import TwoRanks


def data(images=6, texts=4, width=5):
    """Features of student, teacher and texts, and a layer for the first."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(2 * images + texts + width, width, generator=generator)
        .double()
        .split([images, images, texts, width])
    )


def kl(t, s, temperature, scale=100):
    """Row by row and term by term."""
    total = 0.0
    for row_t, row_s in zip(t, s):
        p, q = (
            (scale * row / temperature).softmax(0) for row in (row_t, row_s)
        )
        total += sum(float(a) * float((a / b).log()) for a, b in zip(p, q))
    return total / len(t)


def cosines(a, b):
    return torch.stack(
        [torch.stack([x @ y / x.norm() / y.norm() for y in b]) for x in a]
    )


def test_equations():
    s, t, text, _ = data()
    st, tt, ts = cosines(s, text), cosines(t, text), cosines(s, t)
    expected = {
        VisionLanguageKL(): kl(tt, st, 1) + kl(tt.T, st.T, 1),
        VisionLanguageKL(2.0, 50.0): kl(tt, st, 2, 50) + kl(tt.T, st.T, 2, 50),
        PseudoVisionLanguageKL(): 2 * kl(cosines(t, t), ts, 3),
        ImageDistanceKL(): 2 * kl(cosines(t, t), cosines(s, s), 7),
    }
    for loss, value in expected.items():
        assert loss(s, t, text).item() == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    'kind', [VisionLanguageKL, PseudoVisionLanguageKL, ImageDistanceKL]
)
def test_zero_at_equality_whatever_the_length(kind):
    _, t, text, _ = data()
    s = (3 * t).requires_grad_()
    value = kind()(s, t, text)
    value.backward()
    assert value.abs() < 1e-12 and s.grad.abs().max() < 1e-10


def test_texts_in_half_precision_and_of_zeros():
    s, t, text, _ = (x.bfloat16() for x in data())
    text[0] = 0
    s[0] = 0
    s.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = VisionLanguageKL()(s, t, text)
    value.backward()
    assert value.dtype == torch.float32 and value.isfinite()
    assert s.grad.isfinite().all()
    exact = VisionLanguageKL()(s.double(), t.double(), text.double())
    assert value.item() == pytest.approx(exact.item(), rel=1e-4)


@pytest.mark.parametrize('text', [None, torch.zeros(4, 7), torch.zeros(4)])
def test_texts_of_another_width_are_named(text):
    s, t, *_ = data()
    with pytest.raises(UserError) as error:
        VisionLanguageKL()(s, t, text)
    assert '(M, 5)' in str(error.value)


def losses_of(layer, s, t, text):
    """The three of a student of one linear layer."""
    features = s @ layer
    return (
        0.7 * VisionLanguageKL()(features, t, text)
        + 0.3 * PseudoVisionLanguageKL()(features, t)
        + 0.1 * ImageDistanceKL()(features, t)
    )


@pytest.mark.slow
class TestTwoRanks(TwoRanks):
    def test_loss_and_gradient_are_those_of_one_process(self):
        *parts, layer = data()
        layer.requires_grad_()
        whole = losses_of(layer, *parts)
        (expected,) = torch.autograd.grad(whole, layer)
        self.join_group()
        mine = [part.chunk(2)[self.rank] for part in parts]
        value = losses_of(layer, *mine)
        (gradient,) = torch.autograd.grad(value, layer)
        # As DDP does.
        dist.all_reduce(gradient)
        torch.testing.assert_close(value, whole, rtol=1e-12, atol=0)
        torch.testing.assert_close(
            gradient / 2, expected, rtol=1e-10, atol=1e-12
        )
