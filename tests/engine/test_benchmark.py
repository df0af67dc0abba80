"""The layout of a benchmark: which runs, where, and which have finished."""

import json
import os

import pytest

from mmkd_custom.engine.benchmark import make_cells
from mmkd_custom.errors import UserError

CONFIG = """
randomness = dict(seed={{'$SEED:0'}})
task = '{{$SOURCE:a}}->{{$TARGET:b}}'
epochs = 3
"""
FIXED_TASK = "randomness = dict(seed={{'$SEED:0'}})\ntask = 'cifar'\n"
FIXED_SEED = "task = '{{$SOURCE:a}}->{{$TARGET:b}}'\n"


@pytest.fixture
def config(tmp_path):
    """Writes a config."""

    def write(name='ours', text=CONFIG):
        path = tmp_path / f'{name}.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def finish(cell, **changes):
    """Writes the results of a cell."""
    cell.work_dir.mkdir(parents=True, exist_ok=True)
    found = dict(
        config=cell.config.name, seed=cell.run.seed, task=cell.run.task
    )
    found.update(last={}, oracle={}, **changes)
    (cell.work_dir / 'results.json').write_text(json.dumps(found))


def test_a_cell_for_each(config, tmp_path, monkeypatch):
    monkeypatch.setenv('SOURCE', 'other')
    pairs = [('Art', 'Real World'), ('Real World', 'Art'), ('Art', 'Clip')]
    configs = [config('ours'), config('plain')]
    cells = make_cells(configs, pairs, [3, 5], tmp_path / 'work')
    assert [tuple(cell.run) for cell in cells] == [
        (name, f'{source}->{target}', seed)
        for name in ('ours', 'plain')
        for source, target in pairs
        for seed in (3, 5)
    ]
    assert cells[0].work_dir == (
        tmp_path / 'work' / 'ours' / 'Art-Real_World' / '3'
    )
    assert dict(cells[0].variables) == dict(
        SOURCE='Art', TARGET='Real World', SEED='3'
    )
    # The environment is as it was.

    assert os.environ['SOURCE'] == 'other' and 'SEED' not in os.environ


def test_the_task_of_the_config_itself(config, tmp_path):
    (cell,) = make_cells([config(text=FIXED_TASK)], [], [1], tmp_path)
    assert cell.run.task == 'cifar'
    assert dict(cell.variables) == dict(SEED='1')


def test_options_count(config, tmp_path):
    (cell,) = make_cells([config()], [], [0], tmp_path, ['task=mine'])
    assert cell.run.task == 'mine'


@pytest.mark.parametrize(
    'text, pairs, options, sentence',
    [
        (FIXED_TASK, [('a', 'b'), ('b', 'a')], (), 'does not follow SOURCE'),
        (FIXED_SEED, [], (), 'does not follow SEED=4'),
        ('x = 1 +', [], (), 'cannot be read'),
        (CONFIG, [], ('epochs',), 'key=value is wanted'),
    ],
)
def test_refused_configs(config, tmp_path, text, pairs, options, sentence):
    with pytest.raises(UserError, match=sentence):
        make_cells([config(text=text)], pairs, [4], tmp_path, options)


def test_missing_config(tmp_path):
    with pytest.raises(UserError, match='no such file'):
        make_cells([tmp_path / 'none.py'], [], [0], tmp_path)


def test_configs_of_one_name(config, tmp_path):
    with pytest.raises(UserError, match='would both go there'):
        make_cells([config('x'), config('sub/x')], [], [0], tmp_path / 'work')


def test_results_must_fit(config, tmp_path):
    (cell,) = make_cells([config()], [], [0], tmp_path / 'work')
    assert cell.results() is None
    finish(cell)
    assert cell.results()['task'] == 'a->b'
    for change in (dict(seed=1), dict(task='b->a'), dict(config='other.py')):
        finish(cell)
        path = cell.work_dir / 'results.json'
        path.write_text(
            json.dumps(dict(json.loads(path.read_text()), **change))
        )
        (field,) = change
        with pytest.raises(UserError, match=f'expected {field}='):
            cell.results()
    path.write_text('{"config"')
    with pytest.raises(UserError, match='cannot be read'):
        cell.results()
    for text in ('[]', '{"config": "ours.py", "last": {}}'):
        path.write_text(text)
        with pytest.raises(UserError, match="lacks one of .*'oracle'"):
            cell.results()
