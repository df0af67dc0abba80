"""A run that is killed and resumed equals the run that was not."""

import random
import signal
import subprocess
import time

import pytest
import torch

from tests.cli import command, environment, run_tool, train_arguments
from tests.helpers import make_domains

DOMAINS = dict(SOURCE='art', TARGET='photo', SEED='3')
EPOCHS = 6


def student(work_dir):
    path = work_dir / 'student.pth'
    return torch.load(path, weights_only=True)['state_dict']


def kill_when(work_dir, root, condition, delay):
    """Starts the run and sends SIGKILL some time after a condition holds."""
    process = subprocess.Popen(
        command(
            'train.py',
            *train_arguments(work_dir, EPOCHS, extra=['--resume', 'auto']),
        ),
        env=environment(DATA_ROOT=str(root), **DOMAINS),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.time() + 120
    while not condition() and process.poll() is None:
        assert time.time() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    killed = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return killed


@pytest.mark.slow
def test_killed_and_resumed_runs_end_with_the_same_student(tmp_path):
    root = make_domains(tmp_path / 'data', per_class=8)
    whole = tmp_path / 'whole'
    result = run_tool(
        'train.py',
        *train_arguments(whole, EPOCHS),
        DATA_ROOT=str(root),
        **DOMAINS,
    )
    assert result.returncode == 0, result.stderr

    work_dir = tmp_path / 'killed'
    rng = random.Random(0)
    kills = 0
    for epoch in (1, 2, 4):

        def reached(number=epoch):
            return (work_dir / f'epoch_{number}.pth').exists()

        # At once (evaluation, the next epoch's first batches) or later.
        kills += kill_when(work_dir, root, reached, rng.uniform(0, 0.5))
    assert kills == 3
    # What a crash of the machine could leave: a newest file cut short.
    torn = work_dir / 'epoch_99.pth'
    newest = sorted(work_dir.glob('epoch_?.pth'))[-1]
    torn.write_bytes(newest.read_bytes()[:1000])
    result = run_tool(
        'train.py',
        *train_arguments(work_dir, EPOCHS, extra=['--resume', 'auto']),
        DATA_ROOT=str(root),
        **DOMAINS,
    )
    assert result.returncode == 0, result.stderr

    expected, got = student(whole), student(work_dir)
    assert expected.keys() == got.keys()
    different = [k for k in expected if not torch.equal(expected[k], got[k])]
    assert not different
    # Optimisers and schedules agree too, not only where they led.
    checkpoints = [
        torch.load(d / f'epoch_{EPOCHS}.pth', weights_only=True)
        for d in (whole, work_dir)
    ]
    for key in ('optimizer', 'param_schedulers'):
        assert _flat(checkpoints[0][key]) == _flat(checkpoints[1][key]), key


def _flat(node):
    if isinstance(node, dict):
        return {k: _flat(v) for k, v in node.items()}
    if isinstance(node, (list, tuple)):
        return [_flat(v) for v in node]
    return node.tolist() if torch.is_tensor(node) else node


@pytest.mark.slow
def test_results_of_a_resumed_run_hold_every_epoch(tmp_path):
    import json

    root = make_domains(tmp_path / 'data')
    work_dir = tmp_path / 'run'
    for epochs in (2, 4):
        result = run_tool(
            'train.py',
            *train_arguments(work_dir, epochs, extra=['--resume', 'auto']),
            DATA_ROOT=str(root),
            **DOMAINS,
        )
        assert result.returncode == 0, result.stderr
    results = json.loads((work_dir / 'results.json').read_text())
    assert [entry['epoch'] for entry in results['history']] == [2, 4]
    assert results['epochs'] == 4
