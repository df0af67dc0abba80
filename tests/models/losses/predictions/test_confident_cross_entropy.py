"""What the weights by confidence promise beyond the contract."""

import math

import pytest
import torch

from mmkd_custom.models.losses import ConfidentCrossEntropy, CrossEntropy


def weight(loss, q):
    """The weight of one sample, as its share of the plain cross entropy."""
    logits, q = torch.zeros(1, len(q)), torch.tensor([q])
    return (loss(logits, q) / CrossEntropy()(logits, q)).item()


def test_unsure_labels_weigh_less():
    loss = ConfidentCrossEntropy(logits=False).eval()
    loss.mean.fill_(0.5)
    loss.variance.fill_(0.01)
    assert weight(loss, [0.4, 0.3, 0.3]) == pytest.approx(0.135335, rel=1e-5)
    assert weight(loss, [0.5, 0.3, 0.2]) == pytest.approx(1)
    assert weight(loss, [0.9, 0.1, 0.0]) == pytest.approx(1)


def test_logits_are_those_of_the_soft_labels():
    q = torch.rand(6, 5).softmax(1)
    values = [
        ConfidentCrossEntropy(logits=logits)(torch.ones(6, 5).cumsum(1), side)
        for logits, side in ((True, q.log() + 3), (False, q))
    ]
    torch.testing.assert_close(*values)


def test_averages_start_at_chance_and_follow_the_batches():
    loss = ConfidentCrossEntropy(logits=False)
    mean, variance = 1 / 4, 1.0
    for q in torch.rand(3, 6, 4, dtype=torch.float64).softmax(2):
        loss(torch.zeros(6, 4), q)
        p = q.max(1)[0]
        mean = 0.999 * mean + 0.001 * p.mean().item()
        variance = 0.999 * variance + 0.001 * p.var().item()
    assert loss.mean.item() == pytest.approx(mean, rel=1e-12)
    assert loss.variance.item() == pytest.approx(variance, rel=1e-12)
    before = [value.item() for value in loss.state_dict().values()]
    loss.eval()(torch.zeros(6, 4), q)
    assert [loss.mean.item(), loss.variance.item()] == before


def test_labels_that_are_all_alike_stay_finite():
    loss = ConfidentCrossEntropy(momentum=0.0)
    sure = torch.tensor([[90.0, 0.0], [0.0, 90.0]])
    student = torch.zeros(2, 2, requires_grad=True)
    for batch in (sure, sure, sure[:1]):
        value = loss(student[: len(batch)], batch)
        assert value.item() == pytest.approx(math.log(2))
    value.backward()
    assert student.grad.isfinite().all()
