"""Tests of propagated labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mmkd_custom.errors import UserError
from mmkd_custom.fitting import propagation
from mmkd_custom.fitting.logistic import stratified_folds
from mmkd_custom.fitting.propagation import propagate_labels


def domains(
    per_class: int = 60, labels: int = 20, classes: int = 3, width: int = 8
):
    """Two domains, the second moved; the first has some labels.

    Classes are elongated, so that neighbours know more than a line does.
    """
    rng = np.random.RandomState(0)
    truth = np.tile(np.repeat(np.arange(classes), per_class), 2)
    groups = np.repeat([4, 9], classes * per_class)
    features = 0.4 * rng.randn(len(truth), width)
    features[:, :classes] += 3 * np.eye(classes)[truth]
    features[:, 5:8] += rng.randn(len(truth), 1) * 1.5 * np.eye(3)[truth]
    moved = 0.5 * features
    moved[:, :8] += np.array([4, 0, -4, 1, 0, 1, 2, 0])
    features = np.where(groups[:, None] == 9, moved, features)
    targets = np.full(len(truth), -1)
    for label in range(classes):
        targets[np.flatnonzero(truth == label)[:labels]] = label
    order = rng.permutation(len(truth))
    parts = (torch.tensor(v[order]) for v in (targets, groups, truth))
    return torch.tensor(features[order], dtype=torch.float32), *parts


def reference(features, targets, groups, probe, k, exponent, alpha, steps):
    """Dense, in doubles, without this package's."""
    x = features.double().numpy()
    for group in np.unique(groups):
        rows = x[groups == group]
        std = np.maximum(rows.std(0), 0.1 * rows.std(0).mean())
        x[groups == group] = (rows - rows.mean(0)) / std
    x = x[targets < 0]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosines = x @ x.T
    np.fill_diagonal(cosines, -np.inf)
    near = np.argpartition(-cosines, k, axis=1)[:, :k]
    weights = np.zeros_like(cosines)
    kept = np.maximum(np.take_along_axis(cosines, near, 1), 0) ** exponent
    np.put_along_axis(weights, near, kept, 1)
    weights = np.maximum(weights, weights.T)
    degree = weights.sum(1)
    s = weights / np.sqrt(np.outer(degree, degree))
    p = probe[targets < 0].double().numpy()
    if steps is None:
        q = np.linalg.solve(np.eye(len(s)) - alpha * s, (1 - alpha) * p)
    else:
        q = p
        for _ in range(steps):
            q = alpha * s @ q + (1 - alpha) * p
    return q / q.sum(1, keepdims=True)


@pytest.mark.parametrize(
    'per_class, options',
    [
        (60, {}),
        pytest.param(840, {}, marks=pytest.mark.slow),
        (60, dict(steps=None)),
        (60, dict(neighbours=4, exponent=5.0, alpha=0.3, steps=3)),
    ],
)
def test_as_a_dense_solution(per_class, options):
    # So wide that rounding decides no neighbour.
    features, targets, groups, _ = domains(per_class, width=64)
    found = propagate_labels(features, targets, groups, 3, **options)
    given = dict(neighbours=10, exponent=3.0, alpha=0.8, steps=30)
    given = {**given, **options}
    given['k'] = given.pop('neighbours')
    wanted = reference(features, targets, groups, found.probe, **given)
    np.testing.assert_allclose(
        found.labels[targets < 0], wanted, atol=1e-4, rtol=0
    )


def test_what_it_returns():
    features, targets, groups, truth = domains()
    states = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    found = propagate_labels(features, targets, groups, 3)
    assert np.array_equal(np.random.get_state()[1], states[0])
    assert torch.equal(torch.random.get_rng_state(), states[1])
    known = targets >= 0
    one_hot = torch.eye(3)[targets[known]]
    assert torch.equal(found.labels[known], one_hot)
    for table in (found.labels, found.probe):
        assert table.shape == (360, 3) and table.dtype == torch.float32
        assert (table.sum(1) - 1).abs().max() < 1e-5 and (table >= 0).all()
    same = found.labels.argmax(1) == found.probe.argmax(1)
    assert torch.equal(found.agree, same | known)
    report = found.report
    assert report['images'] == 360 and report['labelled'] == 60
    assert report['groups'] == 2 and report['exact']
    assert report['isolated'] == 0 and 1500 <= report['edges'] <= 3000
    gated = 1 - float(same[~known].double().mean())
    assert report['gated'] == pytest.approx(gated)
    again = propagate_labels(features, targets, groups, 3)
    assert torch.equal(found.labels, again.labels)


def test_domains_and_neighbours_help():
    features, targets, groups, truth = domains()
    found = propagate_labels(features, targets, groups, 3)
    rest = targets < 0
    moved = rest & (groups == 9)
    right = found.labels.argmax(1) == truth
    assert right[rest].double().mean() > 0.97
    # What a probe says that knows of no domain.
    rows = features.numpy()
    x, y = rows[~rest], targets[~rest].numpy()
    mean, std = x.mean(0), x.std(0)
    model = LogisticRegression(C=found.report['probe_c'], max_iter=1000)
    said = model.fit((x - mean) / std, y).predict((rows - mean) / std)
    plain = torch.from_numpy(said)
    assert (plain == truth)[moved].double().mean() < 0.8
    shares = {
        'plain_standardized': plain == found.probe.argmax(1),
        'plain_propagated': plain == found.labels.argmax(1),
    }
    for name, same in shares.items():
        share = float(same[rest].double().mean())
        assert found.report[name] == pytest.approx(share, abs=0.01)
    together = propagate_labels(features, targets, groups * 0, 3)
    whole = together.labels.argmax(1) == truth
    assert whole[moved].double().mean() < right[moved].double().mean() - 0.2


@pytest.mark.parametrize('labels', [1, 2, 11])
@pytest.mark.parametrize('classes', [2, 3])
def test_few_labels(classes, labels):
    features, targets, groups, truth = domains(30, labels, classes)
    found = propagate_labels(features, targets, groups, classes)
    right = found.labels.argmax(1) == truth
    assert (found.labels.sum(1) - 1).abs().max() < 1e-5
    assert right.double().mean() > (0.8 if labels > 1 else 1 / classes)
    assert (found.report['probe_held_out'] is None) == (labels == 1)
    assert (found.report['probe_kappa'] is None) == (labels == 1)


def test_kappa_is_the_accuracy_beyond_chance():
    # Two groups that are easy, and labels of which a fifth is wrong.
    torch.manual_seed(0)
    targets = torch.tensor([0, 1]).repeat(50)
    features = torch.randn(120, 4)
    features[:100, 0] += 12 * targets
    told = torch.where(torch.arange(100) % 5 == 0, 1 - targets, targets)
    rows = torch.cat([told, torch.full((20,), -1)])
    report = propagate_labels(features, rows, rows * 0, 2).report
    accuracy = report['probe_held_out'] / 100
    assert accuracy == pytest.approx(0.8, abs=0.03)
    # Both classes are half of the labels and of the answers.
    assert report['probe_kappa'] == pytest.approx(2 * accuracy - 1, abs=0.01)


def test_folds_leave_every_class_in():
    targets = np.array([0] * 9 + [1] * 2 + [2] + [3] * 4)
    folds = stratified_folds(targets, seed=1)
    together = np.sort(np.concatenate(folds))
    # All but the one of class 2, once.
    assert np.array_equal(together, np.flatnonzero(targets != 2))
    for fold in folds:
        rest = np.delete(targets, fold)
        assert set(rest) == {0, 1, 2, 3}
    assert len(stratified_folds(np.zeros(4000, int))) == 2
    assert not stratified_folds(np.arange(5))


def test_all_labelled_or_all_but_one():
    features, targets, groups, truth = domains(10)
    for left in (0, 1, 2):
        targets = truth.clone()
        targets[:left] = -1
        found = propagate_labels(features, targets, groups, 3)
        assert torch.equal(found.labels[left:], torch.eye(3)[truth[left:]])
        assert (found.labels.sum(1) - 1).abs().max() < 1e-5
        if left == 1:
            assert torch.allclose(found.labels[0], found.probe[0])
            assert found.report['isolated'] == 1


def test_the_approximate_search_is_near(monkeypatch):
    pytest.importorskip('faiss')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    features, targets, groups, _ = domains(500, width=64)
    exact = propagate_labels(features, targets, groups, 3)
    near = propagate_labels(features, targets, groups, 3, exact_up_to=100)
    assert not near.report['exact']
    assert (near.labels - exact.labels).abs().mean() < 0.01


@pytest.mark.parametrize(
    'change, named',
    [
        (dict(num_classes=4), ['targets', '3']),
        (dict(num_classes=2), ['targets', '2']),
        (dict(num_classes=1), ['num_classes']),
        (dict(features=torch.ones(360, 2, 2)), ['features', '(360, 2, 2)']),
        (dict(targets=torch.zeros(9)), ['targets', '360']),
        (dict(groups=torch.zeros(9)), ['groups', '360']),
    ],
)
def test_wrong_arguments(change, named):
    features, targets, groups, _ = domains()
    given = dict(
        features=features, targets=targets, groups=groups, num_classes=3
    )
    with pytest.raises(UserError) as error:
        propagate_labels(**{**given, **change})
    assert all(name in str(error.value) for name in named)


def test_parts_of_a_table_are_like_the_whole(monkeypatch):
    features, targets, groups, _ = domains(20)
    whole = propagate_labels(features, targets, groups, 3)
    monkeypatch.setattr(propagation, '_ROWS', 17)
    parts = propagate_labels(features, targets, groups, 3)
    assert torch.allclose(whole.labels, parts.labels, atol=1e-5)
