"""tools/benchmark.py, in this process and as a user runs it."""

import json
import os
import runpy
import sys

import pytest

from mmkd_custom.errors import UserError
from tests.cli import REPOSITORY, environment
from tests.helpers import make_domains

TOOL = str(REPOSITORY / 'tools' / 'benchmark.py')
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
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, arguments)])
        module = runpy.run_path(TOOL)
        module['main'].__globals__.update(replaced)
        return module['main']()

    return call


def pairs(tool, config, tmp_path, *arguments):
    """Returns the tasks that the tool lays out."""
    found = []

    def train(cells, args):
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
        (('--tasks', 'x:y', 'y z:x'), ['x->y', 'y z->x']),
        (
            ('--sources', 'x', 'y', '--targets', 'y', 'z'),
            ['x->y', 'x->z', 'y->z'],
        ),
        # Several sources: the target is none of them.
        (('--tasks', 'x,y:z'), ['x,y->z']),
        (
            ('--sources', 'x,y w', 'z', '--targets', 'Y_W', 'z'),
            ['x,y w->z', 'z->Y_W'],
        ),
        (('--protocol', 'visda'), ['train->validation']),
    ],
)
def test_tasks(tool, config, tmp_path, arguments, expected):
    assert pairs(tool, config, tmp_path, *arguments) == expected


def test_officehome_has_twelve_pairs(tool, config, tmp_path):
    found = pairs(tool, config, tmp_path, '--protocol', 'officehome')
    assert len(set(found)) == 12
    assert 'Art->Real World' in found and 'Real World->Art' in found


def test_pairs_of_the_folders(tool, config, tmp_path, monkeypatch):
    for name in ('x', 'y', '.hidden'):
        (tmp_path / 'data' / name).mkdir(parents=True)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'data'))
    assert pairs(tool, config, tmp_path, '--all-pairs') == ['x->y', 'y->x']
    around = tmp_path / 'root' / 'OfficeHomeDataset_10072016'
    around.parent.mkdir()
    (tmp_path / 'data').rename(around)
    monkeypatch.setenv('DATA_ROOT', str(around.parent))
    assert pairs(tool, config, tmp_path, '--all-pairs') == ['x->y', 'y->x']


@pytest.mark.parametrize(
    'arguments, named',
    [
        (('--tasks', 'x'), '--tasks: .* x'),
        (('--tasks', 'x:x'), '--tasks: .* x:x'),
        (('--tasks', 'x y,z:x_y'), '--tasks: .* x y,z:x_y'),
        (('--sources', 'x', '--targets', 'x'), '--sources'),
        (('--protocol', 'cifar100'), '--protocol: .*CIFAR-100'),
        (('--protocol', 'officehom'), "'officehome'"),
    ],
)
def test_refused_tasks(tool, config, arguments, named):
    with pytest.raises(UserError, match=named):
        tool(config, *arguments)


@pytest.mark.parametrize(
    'arguments',
    [
        ('--sources', 'x'),
        ('--launcher', 'slurm'),
        ('--partition', 'p'),
        ('--jobs', '0'),
        ('--tasks', 'x:y', '--all-pairs'),
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


def test_an_interruption_and_a_failure_show(tool, config, tmp_path, capsys):
    def interrupted(cells, args):
        raise KeyboardInterrupt

    work_dir = ('--work-dir', tmp_path / 'work')
    assert tool(config, *work_dir, train=interrupted) == 130
    failed = tool(
        config,
        *work_dir,
        run_cells=lambda cells, *_: {cells[0]: 'the last line'},
    )
    assert failed == 1
    assert 'seed 0: the last line' in capsys.readouterr().err


def test_what_is_called(tool, config, tmp_path, monkeypatch):
    seen = []

    def note(cells, command, *_):
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
        arguments = ('--seeds', 0, 1, '--work-dir', work_dir, *SMALL)
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
