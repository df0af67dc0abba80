"""Tests of logistic regression of features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from mmkd_custom.errors import UserError
from mmkd_custom.fitting.logistic import fit_probe
from mmkd_custom.models.teachers.wrappers.probed import normalize


def separable(classes: int = 3, count: int = 20, width: int = 6):
    """Classes far apart along an axis each, of unequal scale."""
    rng = np.random.RandomState(0)
    labels = np.repeat(np.arange(classes), count)
    features = rng.randn(classes * count, width) + 8 * np.eye(width)[labels]
    features = features * np.array([1, 10, 0.1, 1, 1, 100]) + 5
    return torch.tensor(features, dtype=torch.float32), torch.tensor(labels)


def noisy():
    """Some signal, much noise and wrong labels: not any C will do."""
    rng = np.random.RandomState(3)
    labels = (rng.rand(240) < 0.3).astype(int)
    features = rng.randn(240, 100)
    features[:, :4] += 0.7 * labels[:, None]
    labels = np.where(rng.rand(240) < 0.2, 1 - labels, labels)
    return torch.tensor(features), torch.tensor(labels)


def logits_of(fit, features, normalization):
    found = dict(fit.tensors)
    weight, bias = found.pop('weight'), found.pop('bias')
    return (
        normalize(features.float(), normalization, **found) @ weight.T + bias
    )


@pytest.mark.parametrize('normalization', ['none', 'l2', 'standardize'])
@pytest.mark.parametrize('classes', [2, 3])
def test_separable_classes(normalization, classes):
    features, labels = separable(classes)
    held_out = np.arange(0, len(labels), 5)
    fit = fit_probe(features, labels, [held_out], normalization)
    assert fit.chosen.held_out == fit.train_accuracy == 100
    logits = logits_of(fit, features, normalization)
    assert (logits.argmax(1) == labels).all()
    assert fit.tensors['weight'].shape == (classes, 6)
    # scikit-learn on the normalised features, written out.
    x = features.double().numpy()
    if normalization == 'l2':
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    if normalization == 'standardize':
        floor = 0.1 * x.std(0).mean()
        x = (x - x.mean(0)) / np.maximum(x.std(0), floor)
    model = LogisticRegression(C=fit.chosen.c, max_iter=1000).fit(
        x, labels.numpy()
    )
    wanted = model.decision_function(x)
    if classes == 2:
        logits = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(logits.numpy(), wanted, rtol=1e-3, atol=1e-3)


def test_two_classes_give_the_same_probabilities():
    features, labels = noisy()
    fit = fit_probe(features, labels, [range(0, 240, 4)], 'none', [0.1])
    model = LogisticRegression(C=0.1).fit(features, labels)
    np.testing.assert_allclose(
        logits_of(fit, features, 'none').softmax(1),
        model.predict_proba(features),
        atol=1e-3,
    )
    weight = fit.tensors['weight']
    assert torch.allclose(weight[0], -weight[1])


def test_what_is_held_out_chooses_c():
    features, labels = noisy()
    held_out = np.arange(0, 240, 3)
    rest = np.setdiff1d(np.arange(240), held_out)
    grid = [1e-5, 1e-2, 1e-1, 1.0, 1e4]
    x, y = features.numpy(), labels.numpy()
    mean, std = x[rest].mean(0), x[rest].std(0)
    x = (x - mean) / np.maximum(std, 0.1 * std.mean())
    wanted = []
    for c in grid:
        model = LogisticRegression(C=c, max_iter=1000).fit(x[rest], y[rest])
        wanted.append(
            (
                100 * model.score(x[held_out], y[held_out]),
                -log_loss(y[held_out], model.predict_proba(x[held_out])),
            )
        )
    best = grid[wanted.index(max(wanted))]
    # The case says something: neither end is best.
    assert best not in (grid[0], grid[-1])
    fit = fit_probe(features, labels, [held_out], grid=grid)
    assert fit.chosen.c == best
    assert fit.chosen.held_out == pytest.approx(max(wanted)[0])
    for trial, (accuracy, loss) in zip(fit.trials, wanted):
        assert trial.held_out == pytest.approx(accuracy)
        assert trial.loss == pytest.approx(-loss, rel=1e-2)


def test_of_equal_accuracies_the_lowest_loss():
    features, labels = separable()
    fit = fit_probe(features, labels, [np.arange(0, 60, 5)])
    assert all(t.held_out == 100 for t in fit.trials[2:])
    assert fit.chosen == min(fit.trials, key=lambda trial: trial.loss)


def test_all_images_are_fitted_to_in_the_end():
    features, labels = noisy()
    first = fit_probe(features, labels, [[0, 1, 2, 3]], grid=[0.1])
    second = fit_probe(features, labels, [range(60)], grid=[0.1])
    for name in ('weight', 'std'):
        assert torch.equal(first.tensors[name], second.tensors[name])
    assert first.trials != second.trials


def test_draws_no_random_number():
    features, labels = noisy()
    states = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    first = fit_probe(features, labels, [range(0, 240, 3)])
    assert np.array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.random.get_rng_state(), states[1])
    second = fit_probe(features, labels, [range(0, 240, 3)])
    assert torch.equal(first.tensors['weight'], second.tensors['weight'])
    assert first.trials == second.trials


def test_table():
    features, labels = separable()
    fit = fit_probe(features, labels, [range(0, 60, 5)], grid=[0.01, 1.0])
    lines = fit.table().splitlines()
    assert len(lines) == 3
    assert [('<- chosen' in line) for line in lines[1:]] == [
        trial == fit.chosen for trial in fit.trials
    ]
    assert '100.00 %' in lines[2] and '1e+00' in lines[2]


@pytest.mark.parametrize(
    'change, options, named',
    [
        (None, dict(folds=[[]]), 'holdout'),
        (lambda f: f[0].fill_(float('nan')), {}, 'finite'),
        (lambda f: f.fill_(2.0), {}, 'same'),
        (None, dict(normalization='zca'), "'zca'"),
    ],
)
def test_what_cannot_be_fitted(change, options, named):
    features, labels = separable()
    if change is not None:
        change(features)
    arguments = dict(folds=[range(0, 60, 5)])
    with pytest.raises(UserError) as error:
        fit_probe(features, labels, **{**arguments, **options})
    assert named in str(error.value)
