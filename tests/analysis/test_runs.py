"""What is read of finished runs; what is refused: tools/test_analyze.py."""

import json

from mmkd_custom.analysis.runs import (
    Run,
    folder_names,
    read_scalars,
)


def log(work_dir, time, rows, tail=''):
    path = work_dir / time / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    text = '\n'.join(json.dumps(row) for row in rows)
    path.write_text(f'{text}\n{tail}')


def steps(*iters, loss=1.0):
    return [dict(iter=i, step=i, loss=loss) for i in iters]


def test_a_resumed_run_goes_on_where_it_was(tmp_path):
    log(
        tmp_path,
        '20260101_000000',
        [*steps(10, 20, 30), dict(step=1, accuracy=5)],
        tail='{"iter": 40, "lo',
    )
    log(
        tmp_path,
        '20260101_000100',
        [*steps(15, 25, loss=2.0), dict(step=1, accuracy=6)],
    )
    rows = read_scalars(tmp_path)
    assert [(r.get('iter'), r.get('loss')) for r in rows[:3]] == [
        (10, 1.0),
        (15, 2.0),
        (25, 2.0),
    ]
    assert rows[3:] == [dict(step=1, accuracy=6)]


def test_a_run_that_starts_anew_replaces_the_older(tmp_path):
    log(tmp_path, '1', [*steps(10, 20, 30), dict(step=3, accuracy=5)])
    log(tmp_path, '2', [*steps(10), dict(step=1, accuracy=6)])
    assert read_scalars(tmp_path) == [*steps(10), dict(step=1, accuracy=6)]
    assert read_scalars(tmp_path / '1') == []


def test_share_of_the_run(tmp_path):
    results = dict(epochs=4, epoch_iters=10)
    run = Run('a', tmp_path, results, steps(10, 20))
    assert run.share(dict(iter=20)) == 50
    assert run.share(dict(step=3)) == 75
    # Of unknown length: as far as it came.
    results['epoch_iters'] = None
    assert run.share(dict(iter=20)) == 100


def test_names_tell_folders_apart(tmp_path):
    one, two = tmp_path / 'x' / 'run', tmp_path / 'y' / 'run'
    assert folder_names([one]) == ['run']
    assert folder_names([one, two]) == ['x/run', 'y/run']
