"""The layout of a benchmark: which runs, where, and which have finished."""

import json
import os

import pytest
import torch

from mmkd_custom.benchmark.cells import make_cells
from mmkd_custom.errors import UserError
from mmkd_custom.utils.runs import RUN_KEY

CONFIG = """
randomness = dict(seed={{'$SEED:0'}})
task = '{{$SOURCE:a}}->{{$TARGET:b}}'
epochs = 3
"""
FRACTION = """
randomness = dict(seed={{'$SEED:0'}})
task = 'elpv {{$EVAL_SPLIT:test}}, {{$LABEL_FRACTION:0.02}}'
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


def pair(source, target):
    return dict(SOURCE=source, TARGET=target)


def finish(cell, **changes):
    """Writes the results of a cell."""
    cell.work_dir.mkdir(parents=True, exist_ok=True)
    found = dict(
        config=cell.config.name, seed=cell.run.seed, task=cell.run.task
    )
    found.update(changes, last={}, oracle={})
    (cell.work_dir / 'results.json').write_text(json.dumps(found))


def test_a_cell_for_each(config, tmp_path, monkeypatch):
    monkeypatch.setenv('SOURCE', 'other')
    pairs = [('Art', 'Real World'), ('Real World', 'Art'), ('Art', 'Clip')]
    tasks = [pair(*names) for names in pairs]
    configs = [config('ours'), config('plain')]
    cells = make_cells(configs, tasks, [3, 5], tmp_path / 'work')
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


def test_tasks_of_other_variables(config, tmp_path):
    path = config(text=FRACTION)
    tasks = [dict(LABEL_FRACTION=f) for f in ('0.02', '0.1')]
    tasks.append(dict(LABEL_FRACTION='0.1', EVAL_SPLIT='val'))
    cells = make_cells([path], tasks, [0], tmp_path)
    assert [cell.run.task for cell in cells] == [
        'elpv test, 0.02',
        'elpv test, 0.1',
        'elpv val, 0.1',
    ]
    assert len({cell.work_dir for cell in cells}) == 3
    # A lone one that is misspelt would train the config's own task.
    with pytest.raises(UserError, match='LABEL_FRACTOIN.*reads SEED'):
        make_cells([path], [dict(LABEL_FRACTOIN='0.1')], [0], tmp_path)


@pytest.mark.parametrize(
    'text, pairs, named',
    [
        (FIXED_TASK, [pair('a', 'b'), pair('b', 'a')], 'SOURCE, TARGET'),
        (
            FIXED_TASK + "x = '{{$SOURCE:a}}'; y = '{{$TARGET:b}}'\n",
            [pair('a', 'b'), pair('b', 'a')],
            '--tasks',
        ),
        (FIXED_SEED, [], 'SEED=4'),
        ('x = 1 +', [], 'SyntaxError'),
    ],
)
def test_config_that_does_not_follow_is_refused(
    config, tmp_path, text, pairs, named
):
    with pytest.raises(UserError, match=f'config .*ours.py: .*{named}'):
        make_cells([config(text=text)], pairs, [4], tmp_path)


def test_missing_config_and_configs_of_one_name_are_refused(config, tmp_path):
    with pytest.raises(UserError, match='none.py'):
        make_cells([tmp_path / 'none.py'], [], [0], tmp_path)
    with pytest.raises(UserError, match='--work-dir'):
        make_cells([config('x'), config('sub/x')], [], [0], tmp_path / 'work')


def test_results_of_another_run_are_refused(config, tmp_path):
    (cell,) = make_cells([config()], [], [0], tmp_path / 'work')
    assert cell.results() is None
    finish(cell)
    path = cell.work_dir / 'results.json'
    own = json.loads(path.read_text())
    assert cell.results() == own
    for change in (dict(seed=1), dict(task='b->a'), dict(config='other.py')):
        path.write_text(json.dumps(dict(own, **change)))
        (field,) = change
        with pytest.raises(UserError, match=f'expected {field}='):
            cell.results()
    path.write_text('{"config": "ours.py", "last": {}}')
    with pytest.raises(UserError, match='oracle.* in its results.json'):
        cell.results()


def test_edited_config_is_another_benchmark(config, tmp_path):
    first = CONFIG + "model = dict(type='A', weight=1)\n"
    first += 'train_cfg = dict(max_epochs=3)\n'
    edited = first.replace('weight=1', 'weight=2')
    path = config(text=first)
    work = tmp_path / 'work'

    def cell(**switches):
        (cell,) = make_cells([path], [], [0], work, **switches)
        return cell

    finish(cell(), **cell().wanted)
    assert cell().results()['config_sha256'] == cell().wanted['config_sha256']
    assert cell().switches() == ['--resume', 'auto']
    # Likewise of other options, and of another length.
    for text, options, word in (
        (edited, (), 'model.weight=2, got 1'),
        (first, ('model.type=B',), "model.type='B', got 'A'"),
        (first, ('train_cfg.max_epochs=7',), 'max_epochs=7, got 3'),
    ):
        path.write_text(text)
        for ask in ('results', 'switches'):
            with pytest.raises(UserError) as error:
                getattr(cell(options=options), ask)()
            for named in ('ours, a->b, seed 0', word, '--overwrite'):
                assert named in str(error.value)
        again = cell(options=options, overwrite=True)
        assert again.results() is None
        assert again.switches() == ['--overwrite']
    # Deleted and trained again, it is kept.
    path.write_text(edited)
    finish(cell(), **cell().wanted)
    again = cell(overwrite=True)
    assert again.results() and again.switches() == ['--resume', 'auto']


def test_interrupted_run_of_edited_config_is_refused(config, tmp_path):
    path = config(text=CONFIG + "model = dict(type='A')\n")
    (cell,) = make_cells([path], [], [0], tmp_path / 'work')
    cell.work_dir.mkdir(parents=True)
    hub = dict(runtime_info={RUN_KEY: cell.wanted})
    checkpoint = cell.work_dir / 'epoch_1.pth'
    torch.save(dict(meta=dict(epoch=1), message_hub=hub), checkpoint)
    assert cell.switches() == ['--resume', 'auto']
    path.write_text(CONFIG + "model = dict(type='B')\n")
    for damaged in (False, True):
        if damaged:
            checkpoint.write_bytes(b'torn')
        (cell,) = make_cells([path], [], [0], tmp_path / 'work')
        # A table of what has finished can be made all the same.
        assert cell.results() is None
        with pytest.raises(UserError, match='epoch_1|expected model.type'):
            cell.switches()
        cells = make_cells([path], [], [0], tmp_path / 'work', overwrite=True)
        assert cells[0].switches() == ['--overwrite']
