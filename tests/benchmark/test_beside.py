"""Teachers beside their students, from results that were written by hand."""

from mmkd_custom.benchmark.beside import beside_tables
from mmkd_custom.benchmark.tables import Run


def test_both_stand_in_one_row():
    runs = [Run(c, 'a->b', s) for c in ('probed', 'alone') for s in (0, 1)]
    results = {
        run: dict(last={'top1': 60.0 + run.seed, 'f1': 50.0}) for run in runs
    }
    for run in runs[:2]:
        results[run]['teacher'] = {'top1': 90.0 - 2 * run.seed}
    (table,) = beside_tables(runs, results)
    assert table.metric == 'top1'
    scores = table.rows['probed']
    assert scores['a->b', 'teacher'].values == (90.0, 88.0)
    assert scores['a->b', 'student'].values == (60.0, 61.0)
    # A student without a teacher is a row too.
    assert table.rows['alone']['a->b', 'teacher'].values == ()
    name, files = table.files()
    assert name == 'top1.teacher_and_student'
    _, _, head, _, probed, alone = files['md'].splitlines()
    assert head == '| config | a->b, teacher | a->b, student |'
    assert probed.startswith('| probed | 89.00 ± 1.41')
    assert 'missing' in alone
    assert len(files['csv'].splitlines()) == 3


def test_there_is_none_where_no_teacher_was_measured():
    run = Run('c', 'a->b', 0)
    assert beside_tables([run], {run: dict(last={'top1': 1.0})}) == []
