"""tools/demo.py on run folders that the test wrote: nothing is trained."""

from importlib import metadata

import pytest
import torch

from mmkd_custom.analysis import story
from mmkd_custom.evaluation.report import ACCURACY, MACRO_F1
from mmkd_custom.evaluation.results import write_json
from mmkd_custom.utils.runs import RUN_KEY
from tests.cli import REPOSITORY, call_tool

TASK = 'elpv test cells, 0.02 of the labels'
FOLDERS = ('labelled_only', 'distilled')


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
    results = dict(
        seed=seed,
        task=task,
        **known,
        last=metrics,
        oracle=dict(epoch=2, **metrics),
        constant={'class': 'functional', ACCURACY: 68.6, MACRO_F1: 40.7},
        epochs=2,
        wall_seconds=60,
        history=[dict(epoch=1, **metrics), dict(epoch=2, **metrics)],
    )
    write_json(results, work_dir / 'results.json')
    weights = dict(state_dict=dict(weight=torch.zeros(1000)))
    torch.save(weights, work_dir / 'student.pth')


def interrupt(work_dir, seed=0, task=TASK, **known):
    """Writes what an interrupted run leaves."""
    work_dir.mkdir(parents=True)
    run = dict(seed=seed, task=task, **known)
    hub = dict(runtime_info={RUN_KEY: run})
    torch.save(dict(message_hub=hub), work_dir / 'epoch_1.pth')


@pytest.fixture
def demo(tmp_path, monkeypatch, capfd):
    """Runs the demo with a training that is a shell script.

    It is told its work directory as ``$WORK``. Returns (exit code, stdout,
    stderr, command lines of the trainings).
    """

    def run(training='exit 9', **variables):
        record, program = tmp_path / 'record.txt', tmp_path / 'python'
        program.write_text(
            f'#!/bin/sh\necho "$@" >>"{record}"\nWORK=$4\necho its log\n'
            f'{training}\n'
        )
        program.chmod(0o755)
        with monkeypatch.context() as patch:
            patch.setattr('sys.executable', str(program))
            # Its own test draws one.
            patch.setattr(
                story, 'tell_story', lambda runs, folder, _: folder / 'a.png'
            )
            for name, value in variables.items():
                patch.setenv(name, value)
            code = call_tool('demo.py', '--work-dir', tmp_path)
        out, err = capfd.readouterr()
        calls = record.read_text().splitlines() if record.exists() else []
        return code, out, err, calls

    return run


@pytest.mark.parametrize(
    'task, variables',
    [
        (TASK, {}),
        (
            'elpv test cells, 0.1 of the labels',
            dict(SEED='3', LABEL_FRACTION='0.1'),
        ),
    ],
)
def test_finished_runs_are_compared(demo, tmp_path, task, variables):
    seed = int(variables.get('SEED', 0))
    for folder, accuracy in zip(FOLDERS, (71.5, 82.5)):
        finish(tmp_path / folder, seed, task, accuracy)
    code, out, _, calls = demo(**variables)
    assert (code, calls) == (0, [])
    # The constant answer first, macro-F1 before accuracy.
    constant, alone, taught = (
        [word for word in line.split() if word[0].isdigit()]
        for line in out.splitlines()
        if '│' in line
    )
    assert constant[:2] == ['40.7', '68.6']
    assert alone[:2] == ['66.5', '71.5'] and taught[:2] == ['77.5', '82.5']
    for word in (
        *(str(tmp_path / 'a.png'), 'CC BY-NC-SA'),
        *('tools/distill.py', 'distill = dict(', 'tools/export_student.py'),
        str(tmp_path / 'distilled' / 'student.pth'),
    ):
        assert word in out, word


@pytest.mark.parametrize(
    'leave, kept, variables, words',
    [
        (finish, dict(), dict(SEED='3'), ['seed=3', '0']),
        (interrupt, dict(seed=1), dict(), ['seed=0', '1']),
        (
            finish,
            dict(settings={'optim_wrapper.optimizer.lr': 1.0}),
            dict(),
            ['optim_wrapper.optimizer.lr', '1.0'],
        ),
        (interrupt, dict(), dict(EVAL_SPLIT='val'), ['elpv val cells']),
    ],
)
def test_another_run_is_refused(demo, tmp_path, leave, kept, variables, words):
    # Before anything is trained, though it is the second folder.
    leave(tmp_path / 'distilled', **kept)
    code, _, err, calls = demo(**variables)
    assert (code, calls) == (2, [])
    for word in [str(tmp_path / 'distilled'), '--work-dir', *words]:
        assert word in err.splitlines()[-1]


def test_only_what_is_missing_is_trained(demo, tmp_path):
    finish(tmp_path / 'labelled_only')
    finish(tmp_path / 'done')
    # The "training" puts a finished run in place.
    code, _, err, calls = demo(f'mv "{tmp_path}"/done/* "$WORK"')
    assert code == 0, err
    (call,) = calls
    work_dir = tmp_path / 'distilled'
    config = 'customkd_mbv3_elpv_cached.py'
    assert call.split()[1:6] == [
        str(REPOSITORY / 'configs' / config),
        *('--work-dir', str(work_dir), '--resume', 'auto'),
    ]
    assert (work_dir / 'train.log').read_text() == 'its log\n'


def test_both_are_trained_at_once(demo, tmp_path):
    for folder in FOLDERS:
        finish(tmp_path / 'done' / folder)
    # Each waits for the other to begin.
    code, _, err, calls = demo(
        f'touch "$WORK/begun"; cd "{tmp_path}"\n'
        'until [ -e labelled_only/begun ] && [ -e distilled/begun ]\n'
        'do sleep 0.1; done\n'
        'mv done/$(basename "$WORK")/* "$WORK"'
    )
    assert code == 0, err
    assert len(calls) == 2


@pytest.mark.parametrize(
    'training, code',
    [
        ('echo "error: x" >&2; exit 2', 2),
        ('exit 7', 7),
        ('kill -9 $$', 137),
    ],
)
def test_exit_code_of_a_training_is_the_demos(demo, tmp_path, training, code):
    # An interrupted run is continued. The other one is ended.
    interrupt(tmp_path / 'labelled_only')
    found, _, err, calls = demo(
        f'case $WORK in *distilled) exec sleep 60;; esac; {training}'
    )
    assert found == code and len(calls) == 2
    last = [line for line in err.splitlines() if 'took' not in line][-1]
    if code == 2:
        assert last == 'error: x'
    else:
        assert 'error:' not in err and str(code) in last
        assert str(tmp_path / 'labelled_only' / 'train.log') in last


def test_how_far_a_training_is(tmp_path, monkeypatch):
    import demo

    monkeypatch.setattr('sys.executable', '/bin/true')
    training = demo.Training('distilled', tmp_path, 4)
    training.process.wait()
    told = [
        ('asking the teacher: 640/1606 images, 9.5 images/s', (0, None)),
        ('Epoch(train)  [2][10/25]  lr: 1e-3  loss: 0.7  loss_ce: 0.5', (35,)),
        ('Epoch(val) [2][1/1]    accuracy/top1: 50.0', (35, 100)),
    ]
    for line, expected in told:
        with open(training.log, 'a') as log:
            log.write(f'{line}\n')
        *found, note = training.look()
        assert tuple(found[: len(expected)]) == expected
    assert 'loss 0.7' in note and 'epoch 2' in note
