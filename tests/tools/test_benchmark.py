"""tools/benchmark.py, in this process and as a user runs it."""

import json
import os
import shutil
import sys

import pytest

from mmkd_custom.benchmark import session
from mmkd_custom.cli import benchmark
from mmkd_custom.errors import UserError
from tests.cli import REPOSITORY, environment
from tests.helpers import make_domains

CONFIG = """
randomness = dict(seed={{'$SEED:0'}})
task = '{{$SOURCE:a}}->{{$TARGET:b}}'
"""
ALONE = (
    REPOSITORY / 'configs/labelled_only/labelled_only_mbv3_domain_folder.py'
)
SMALL = (
    '--cfg-options',
    'train_cfg.max_epochs=1',
    'train_dataloader.batch_size=6',
    'train_dataloader.num_workers=0',
    'train_dataloader.sampler.labelled=6',
    'val_dataloader.num_workers=0',
)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'ours.py'
    path.write_text(CONFIG)
    return path


@pytest.fixture
def tool(monkeypatch):
    """Calls the tool's main function; gives its exit code."""

    def call(*arguments, **replaced):
        words = ['benchmark.py', *map(str, arguments)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, 'argv', words)
            for name, function in replaced.items():
                patch.setattr(session, name, function)
            return benchmark.main()

    return call


def pairs(tool, config, tmp_path, *arguments):
    """Returns the tasks that the tool lays out."""
    found = []

    def train(cells, **_):
        found.extend(cell.run.task for cell in cells)
        return 0

    work_dir = tmp_path / 'work'
    arguments = (*arguments, '--seeds', 0, '--work-dir', work_dir)
    assert tool(config, *arguments, train=train) == 0
    return found


@pytest.mark.parametrize(
    'arguments, expected',
    [
        ((), ['a->b']),
        (('--tasks', 'x:y', 'TARGET=x,SOURCE=y z'), ['x->y', 'y z->x']),
        (('--protocol', 'visda'), ['train->validation']),
    ],
)
def test_tasks(tool, config, tmp_path, arguments, expected):
    assert pairs(tool, config, tmp_path, *arguments) == expected


@pytest.mark.parametrize(
    'arguments',
    [
        ('--launcher', 'slurm'),
        ('--partition', 'p'),
        ('--jobs', '0'),
        ('--tasks', 'x:y', '--protocol', 'officehome'),
        ('--cfg-options', 'epochs'),
    ],
)
def test_arguments_that_do_not_go_together(tool, config, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        tool(config, *arguments)
    assert ended.value.code == 2


def test_collect_trains_nothing(tool, config, tmp_path, monkeypatch, capsys):
    work_dir = tmp_path / 'work'
    for seed, value in ((0, 50.0), (1, 60.0)):
        folder = work_dir / 'ours' / 'x-y' / str(seed)
        folder.mkdir(parents=True)
        metrics = {'accuracy/top1': value}
        found = dict(config='ours.py', seed=seed, task='x->y')
        found.update(last=metrics, oracle=dict(epoch=1, **metrics))
        (folder / 'results.json').write_text(json.dumps(found))
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    arguments = ('--tasks', 'x:y', 'y:x', '--seeds', 0, 1, '--collect')
    assert tool(config, *arguments, '--work-dir', work_dir) == 0
    said = capsys.readouterr()
    row = '| ours | 55.00 ± 7.07 (n=2) | missing | missing |'
    assert row in said.out and '2 of 4 runs have finished' in said.out
    assert row in (
        work_dir / 'tables' / 'accuracy_top1.last.md'
    ).read_text().split('\n')
    assert said.err.count('\n') == 1 and 'matplotlib' in said.err
    assert not (work_dir / 'ours' / 'y-x').exists()


def finish(work_dir, config, seed, values, **more):
    """Writes the results of a run of the task x->y."""
    folder = work_dir / config / 'x-y' / str(seed)
    folder.mkdir(parents=True)
    found = dict(config=f'{config}.py', seed=seed, task='x->y')
    found.update(last=values, oracle=dict(epoch=1, **values), **more)
    (folder / 'results.json').write_text(json.dumps(found))


def test_a_csv_is_completed_and_stands_for_lost_folders(
    tool, config, tmp_path, capsys
):
    kept, work_dir = tmp_path / 'cells.csv', tmp_path / 'work'
    finish(work_dir, 'ours', 0, {'accuracy/top1': 70.5}, epochs=3)
    trained = []

    def run_cells(cells, command, *_, finished):
        for cell in cells:
            if cell.results() is None:
                trained.append(cell.run.seed)
                finish(work_dir, 'ours', cell.run.seed, {'accuracy/top1': 60})
                finished(cell)
                # What comes next may be interrupted.
                assert f'ours,x->y,{cell.run.seed},' in kept.read_text()
        return {}

    def call(*more):
        arguments = ('--tasks', 'x:y', '--work-dir', work_dir, '--csv', kept)
        return tool(config, *arguments, *more, run_cells=run_cells)

    assert call('--seeds', 0, '--collect') == 0
    assert kept.read_text().count('\n') == 2
    assert call('--seeds', 0, 1) == 0 and trained == [1]
    shutil.rmtree(work_dir)
    before = kept.read_text()
    capsys.readouterr()
    assert call('--seeds', 0, 1) == 0 and trained == [1]
    assert '| ours | 65.25 ± 7.42 (n=2) |' in capsys.readouterr().out
    assert kept.read_text() == before
    # Another config: refused, or trained again and replaced.
    config.write_text(CONFIG + 'train_cfg = dict(by_epoch=True)\n')
    with pytest.raises(UserError, match='cells.csv: .*expected train_cfg'):
        call('--seeds', 1)
    assert call('--seeds', 1, '--overwrite') == 0 and trained == [1, 1]
    assert kept.read_text().count('\n') == 3 and kept.read_text() != before
    assert call('--seeds', 1) == 0


def test_rows_are_compared_and_one_is_chosen(tool, config, tmp_path, capsys):
    other, work_dir = tmp_path / 'plain.py', tmp_path / 'work'
    other.write_text(CONFIG)
    for row, seed, value in (
        ('ours', 0, 71.0),
        ('ours', 1, 74.0),
        ('plain', 0, 70.0),
        ('plain', 1, 70.0),
    ):
        chosen = dict(selection=dict(agreement=value + 10))
        finish(work_dir, row, seed, {'accuracy/top1': value}, **chosen)
    arguments = ('--tasks', 'x:y', '--seeds', 0, 1, '--work-dir', work_dir)
    against = ('--against', other, '--select', '--collect')
    assert tool(config, other, *arguments, *against) == 0
    said = capsys.readouterr().out
    assert '| ours | +2.50 [-16.56, +21.56] (n=2) |' in said
    assert 'target: ours' in said
    name = 'accuracy_top1.last.against_plain'
    folder = work_dir / 'tables'
    assert {f'{name}.md', f'{name}.json', 'agreement.selection.md'} <= {
        path.name for path in folder.iterdir()
    }
    with pytest.raises(UserError, match="--against: .*nearest: 'ours'"):
        tool(config, '--against', 'our.py', *arguments)


def test_an_interruption_and_a_failure_show(tool, config, tmp_path, capsys):
    def interrupted(cells, **_):
        raise KeyboardInterrupt

    work_dir = ('--work-dir', tmp_path / 'work')
    assert tool(config, *work_dir, train=interrupted) == 130
    failed = tool(
        config,
        *work_dir,
        run_cells=lambda cells, *_, **__: {cells[0]: 'the last line'},
    )
    assert failed == 1
    assert 'seed 0: the last line' in capsys.readouterr().err


def test_what_is_called(tool, config, tmp_path, monkeypatch):
    seen = []

    def note(cells, command, *_, **__):
        seen.append(command(cells[0]))
        return {}

    work_dir, options = (
        tmp_path / 'work',
        ('--cfg-options', 'model.b=1', 'log_level=x'),
    )
    arguments = (config, '--work-dir', work_dir, *options)
    assert tool(*arguments, run_cells=note) == 0
    slurm = ('--launcher', 'slurm', '--partition', 'p')
    assert tool(*arguments, *slurm, submit_cells=note) == 0
    folder = str(work_dir / 'ours' / 'a-b' / '0')
    more = ['--resume', 'auto', *options]
    train = str(REPOSITORY / 'tools' / 'train.py')
    assert seen[0] == [
        sys.executable,
        train,
        str(config),
        '--work-dir',
        folder,
        *more,
    ]
    script, partition, name, *rest = seen[1]
    assert os.access(script, os.X_OK) and script.endswith('slurm_train.sh')
    assert partition == 'p' and name.startswith('mmkd_')
    assert rest == [str(config), folder, *more]


@pytest.mark.slow
def test_trainings(tool, tmp_path, monkeypatch):
    root = make_domains(tmp_path / 'data', per_class=2)
    for name, value in environment(DATA_ROOT=str(root)).items():
        monkeypatch.setenv(name, value)
    work_dir, name = tmp_path / 'work', ALONE.stem
    # One of the seeds has finished before.
    first, second = (work_dir / name / 'art-photo' / s for s in '01')
    second.mkdir(parents=True)
    metrics = {'accuracy/top1': 60.0}
    kept = dict(config=ALONE.name, seed=1, task='art->photo')
    kept.update(last=metrics, oracle=dict(epoch=1, **metrics))
    (second / 'results.json').write_text(json.dumps(kept))

    def call(*tasks):
        arguments = ('--seeds', 0, 1, '--work-dir', work_dir)
        arguments += ('--csv', tmp_path / 'cells.csv', *SMALL)
        return tool(ALONE, '--tasks', *tasks, *arguments)

    # A domain that is not there ends it at once, and nothing is lost.
    with pytest.raises(UserError, match="seed 0: .*'sketch'"):
        call('art:photo', 'art:sketch')
    before = (first / 'results.json').stat().st_mtime_ns
    assert call('art:photo') == 0
    assert (first / 'results.json').stat().st_mtime_ns == before
    assert json.loads((second / 'results.json').read_text()) == kept
    found = json.loads((first / 'results.json').read_text())
    assert (found['seed'], found['task']) == (0, 'art->photo')
    assert found['config'] == ALONE.name and found['epochs'] == 1
    mean = f'{(found["last"]["accuracy/top1"] + 60) / 2:.2f}'
    table = work_dir / 'tables' / 'accuracy_top1.last.md'
    assert f'| {name} | {mean} ± ' in table.read_text()
    assert table.with_suffix('.png').is_file()
    # Their lines stand for them.
    shutil.rmtree(work_dir)
    assert call('art:photo') == 0 and not first.exists()
    assert f'| {name} | {mean} ± ' in table.read_text()
