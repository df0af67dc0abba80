"""tools/demo.py on run folders that the test wrote: nothing is trained."""

import runpy
import stat
import sys
from importlib import metadata

import pytest
import torch

from mmkd_custom.evaluation.report import ACCURACY, MACRO_F1
from mmkd_custom.evaluation.results import write_json
from mmkd_custom.utils.runs import RUN_KEY
from tests.cli import REPOSITORY

TASK = 'elpv test cells, 0.02 of the labels'
FOLDERS = ('labelled_only', 'customkd')


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    """The demo's extra is there, and no variable names another run."""
    for name in ('elpv-dataset', 'matplotlib'):
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            pytest.skip(f'no {name}')
    for name in ('SEED', 'LABEL_FRACTION', 'EVAL_SPLIT'):
        monkeypatch.delenv(name, raising=False)


def finish(work_dir, seed=0, task=TASK, accuracy=80.0, **known):
    """Writes what a finished run leaves."""
    work_dir.mkdir(parents=True)
    metrics = {ACCURACY: accuracy, MACRO_F1: accuracy - 5}
    write_json(
        dict(
            seed=seed,
            task=task,
            **known,
            last=metrics,
            oracle=dict(epoch=2, **metrics),
            epochs=2,
            wall_seconds=60,
            history=[dict(epoch=1, **metrics), dict(epoch=2, **metrics)],
        ),
        work_dir / 'results.json',
    )
    torch.save(
        dict(state_dict=dict(weight=torch.zeros(1000))),
        work_dir / 'student.pth',
    )


def interrupt(work_dir, seed=0, task=TASK, **known):
    """Writes what an interrupted run leaves."""
    work_dir.mkdir(parents=True)
    run = dict(seed=seed, task=task, **known)
    hub = dict(runtime_info={RUN_KEY: run} if run['task'] else {})
    torch.save(dict(message_hub=hub), work_dir / 'epoch_1.pth')


@pytest.fixture
def demo(tmp_path, monkeypatch, capfd):
    """Runs the demo with a training that is a shell script.

    Gives (exit code, stdout, stderr, command lines of the trainings).
    """

    def run(training='exit 9', **variables):
        record = tmp_path / 'record.txt'
        program = tmp_path / 'python'
        program.write_text(
            f'#!/bin/sh\necho "$@" >>"{record}"\necho its log\n{training}\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        tool = str(REPOSITORY / 'tools' / 'demo.py')
        with monkeypatch.context() as patch:
            patch.setattr(sys, 'executable', str(program))
            patch.setattr(sys, 'argv', [tool, '--work-dir', str(tmp_path)])
            for name, value in variables.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as done:
                runpy.run_path(tool, run_name='__main__')
        out, err = capfd.readouterr()
        calls = record.read_text().splitlines() if record.exists() else []
        return done.value.code, out, err, calls

    return run


def test_finished_runs_are_compared_and_not_trained_again(demo, tmp_path):
    for folder, accuracy in zip(FOLDERS, (71.5, 82.5)):
        finish(tmp_path / folder, accuracy=accuracy)
    code, out, _, calls = demo()
    assert code == 0 and calls == []
    for folder in FOLDERS:
        assert f'reusing {tmp_path / folder}' in out
    for cell in ('71.5 / 71.5', '82.5 / 82.5', '77.5 / 77.5'):
        assert cell in out
    assert (tmp_path / 'curves.png').stat().st_size > 1000
    assert str(tmp_path / 'customkd' / 'student.pth') in out


@pytest.mark.parametrize(
    'kept, variables, words',
    [
        (dict(), dict(SEED='3'), ['expected seed=3, got 0']),
        (dict(seed=1), dict(), ['expected seed=0, got 1']),
        (
            dict(settings={'optim_wrapper.optimizer.lr': 1.0}),
            dict(),
            ['optim_wrapper.optimizer.lr', 'got 1.0'],
        ),
        (dict(), dict(LABEL_FRACTION='0.1'), ['0.1 of the labels']),
        (dict(), dict(EVAL_SPLIT='val'), ['elpv val cells']),
        (dict(task='art->photo'), dict(), ['art->photo']),
    ],
)
@pytest.mark.parametrize('leave', [finish, interrupt])
def test_another_run_is_refused(demo, tmp_path, leave, kept, variables, words):
    # Before anything is trained, though it is the second folder.
    leave(tmp_path / 'customkd', **kept)
    code, _, err, calls = demo(**variables)
    assert code == 2 and calls == []
    last = err.strip().splitlines()[-1]
    assert last.startswith(f'error: {tmp_path / "customkd"}: ')
    for word in [*words, '--work-dir', 'delete']:
        assert word in last, last


def test_the_same_seed_and_task_asked_for_otherwise(demo, tmp_path):
    for folder in FOLDERS:
        finish(
            tmp_path / folder,
            seed=3,
            task='elpv test cells, 0.1 of the labels',
        )
    code, _, err, calls = demo(SEED='3', LABEL_FRACTION='0.1')
    assert code == 0 and calls == [], err


@pytest.mark.slow
@pytest.mark.parametrize('task', [TASK, None])
def test_an_interrupted_run_is_continued(demo, tmp_path, task):
    # One that does not tell which it is, too.
    interrupt(tmp_path / 'labelled_only', task=task)
    code, _, _, calls = demo()
    assert code == 9 and len(calls) == 1
    assert calls[0].endswith('--resume auto')
    assert str(tmp_path / 'labelled_only') in calls[0]


@pytest.mark.slow
def test_only_what_is_missing_is_trained(demo, tmp_path):
    finish(tmp_path / 'labelled_only')
    finish(tmp_path / 'done')
    # The "training" puts a finished run in place.
    code, _, err, calls = demo(f'mv "{tmp_path}"/done/* "{tmp_path}/customkd"')
    assert code == 0, err
    assert len(calls) == 1
    assert calls[0].split()[1:] == [
        str(REPOSITORY / 'configs' / 'customkd_mbv3_elpv.py'),
        '--work-dir',
        str(tmp_path / 'customkd'),
        '--resume',
        'auto',
    ]
    log = (tmp_path / 'customkd' / 'train.log').read_text()
    assert log == 'its log\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    'training, code',
    [
        ('echo "error: x" >&2; exit 2', 2),
        ('exit 7', 7),
        ('kill -9 $$', 137),
    ],
)
def test_the_exit_code_of_a_training_is_the_demos(
    demo, tmp_path, training, code
):
    found, out, err, calls = demo(training)
    assert found == code and len(calls) == 1
    if code == 2:
        assert err == 'error: x\n'
    else:
        assert 'error:' not in err and f'exit code {code}' in err
        assert str(tmp_path / 'labelled_only' / 'train.log') in err
    assert 'oracle' not in out
