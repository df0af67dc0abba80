import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from mmkd_custom.errors import UserError
from mmkd_custom.quickstart.probing import (
    Outlook,
    Score,
    _compared,
    _cross_validated,
    _gain,
    _macro_f1,
    score,
)


def test_scores_are_those_of_scikit_learn():
    rng = np.random.RandomState(0)
    truth, said = rng.randint(4, size=(2, 200))
    # A class that is never answered.
    said[said == 3] = 0
    f1 = f1_score(truth, said, average='macro', zero_division=0)
    assert score(said, truth, 4).f1 == pytest.approx(100 * f1)
    assert _macro_f1(said, truth, 4) == pytest.approx(f1)
    assert score(said, truth, 4).accuracy == 100 * (said == truth).mean()


def test_each_image_is_answered_by_a_probe_that_has_not_seen_it():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    noise = torch.randn(60, 40, generator=generator)
    answers, _ = _cross_validated(noise, labels)
    # Fitted to the images themselves it would be right about all.
    assert (answers == labels.numpy()).mean() < 0.6
    clear = noise + 10 * torch.nn.functional.one_hot(labels, 40)
    answers, _ = _cross_validated(clear, labels)
    assert (answers == labels.numpy()).mean() > 0.95


def test_the_only_image_of_a_class_is_never_held_out():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    answers, _ = _cross_validated(torch.randn(6, 5), labels)
    assert (answers >= 0).tolist() == [True] * 5 + [False]
    with pytest.raises(UserError, match='only one'):
        _cross_validated(torch.randn(3, 5), torch.arange(3))


def test_no_verdict_where_every_class_has_one_image():
    features, pixels = torch.randn(3, 5), torch.randn(3, 12)
    outlook, _ = _compared(features, pixels, torch.arange(3), seed=0)
    assert outlook.gain is outlook.probe is outlook.pixels is None
    assert outlook.count == 3
    assert 'cannot be told: every class has one' in outlook.verdict()


def test_the_interval_tells_help_from_none():
    rng = np.random.RandomState(0)
    truth = rng.randint(2, size=200)
    right = np.where(rng.rand(200) < 0.9, truth, 1 - truth)
    guess = rng.randint(2, size=200)
    verdicts = []
    for ours, theirs in ((right, guess), (guess, guess[::-1]), (guess, right)):
        gain = _gain(ours, theirs, truth, 2, seed=0)
        assert gain[0] <= gain[1]
        verdicts.append(np.sign(gain).tolist())
        any_score = Score(50.0, 50.0)
        outlook = Outlook(any_score, any_score, any_score, gain, 200, 0.1)
        assert outlook.verdict()
    assert verdicts == [[1, 1], [-1, 1], [-1, -1]]
