"""Which lines are drawn of what runs have logged."""

import numpy as np
import pytest

from mmkd_custom.analysis.curves import (
    draw_curves,
    draw_similarity,
    loss_lines,
    metric_lines,
    similarity_lines,
    thinned,
)
from mmkd_custom.analysis.runs import Run
from mmkd_custom.analysis.style import drawing, spread


def run(name, rows, **results):
    given = dict(epochs=2, epoch_iters=10, history=[], **results)
    return Run(name, None, given, rows)


PLAIN = run('plain', [dict(iter=5, loss=2.0, lr=1), dict(iter=10, loss=1.0)])
DISTILLED = run(
    'distilled',
    [
        dict(iter=10, loss=8.0, loss_customization=8.0),
        dict(iter=20, loss=9.0, loss_ce=3.0, loss_general=float('nan')),
        dict(step=1, cka_customized=0.2, cka_teacher=0.1),
    ],
)


def test_each_term_has_the_lines_of_the_runs_that_have_it():
    found = loss_lines([PLAIN, DISTILLED])
    # A plain classifier's one loss is what a distiller calls loss_ce.
    assert {k: [*v] for k, v in found.items()} == dict(
        loss_ce=['plain', 'distilled'], loss_customization=['distilled']
    )
    share, values = found['loss_ce']['plain']
    assert share.tolist() == [25, 50] and values.tolist() == [2, 1]


def test_the_teachers_own_feature_comes_first():
    found = similarity_lines([PLAIN, DISTILLED])
    assert [*found] == ['cka_teacher', 'cka_customized']
    assert found['cka_teacher']['distilled'][0].tolist() == [50]


def test_macro_f1_and_accuracy_where_there_are_such():
    names = ('accuracy/top1', 'recall', 'single-label/f1-score')
    one = run('one', [])
    one.results['history'] = [dict(epoch=1, **dict.fromkeys(names, 5.0))]
    assert [*metric_lines([one])] == [names[2], names[0]]
    del one.results['history'][0]['accuracy/top1']
    assert [*metric_lines([one])] == [names[2]]
    one.results['history'] = [dict(epoch=2, a=None, b=2.0, c=3.0, d=4.0)]
    assert [*metric_lines([one])] == ['b', 'c']


def test_long_lines_are_averaged():
    share, values = thinned((np.arange(250.0), np.arange(250.0) % 2), 100)
    assert len(share) == len(values) == 84
    assert share[:2].tolist() == [1, 4] and share[-1] == 249


def test_nothing_is_drawn_of_nothing():
    with drawing() as pyplot:
        assert draw_curves(pyplot, [run('a', [])]) is None
        assert draw_similarity(pyplot, [PLAIN]) is None
        figure = draw_curves(pyplot, [PLAIN, DISTILLED])
        lines = [len(axis.lines) for axis in figure.axes]
    assert lines[:2] == [2, 1]


def test_labels_do_not_overlap():
    found = spread([0.5, 0.1, 0.51, 0.5], 0.2)
    assert np.argsort(found).tolist() == [1, 0, 3, 2]
    assert np.diff(np.sort(found)).min() >= 0.2 - 1e-9
    assert np.mean(found) == pytest.approx(0.4025)
    assert spread([0.1, 0.9], 0.2) == [0.1, 0.9]
