"""A run that is killed and resumed equals the run that was not."""

import random
import re
import shutil

import pytest
import torch

from tests.cli import (
    call_tool,
    kill_when,
    train_arguments,
)
from tests.helpers import make_domains

DOMAINS = dict(SOURCE='art', TARGET='photo', SEED='3')
#: Epochs of the run, and after which it is killed.
EPOCHS, KILLS = 4, (0, 2)


def student(work_dir):
    path = work_dir / 'student.pth'
    return torch.load(path, weights_only=True)['state_dict']


def log(work_dir):
    return ''.join(path.read_text() for path in work_dir.glob('*/*.log'))


@pytest.mark.slow
def test_killed_and_resumed_runs_end_with_the_same_student(
    tmp_path, monkeypatch
):
    root = make_domains(tmp_path / 'data', per_class=8)
    for name, value in dict(DOMAINS, DATA_ROOT=str(root)).items():
        monkeypatch.setenv(name, value)
    whole, work_dir = tmp_path / 'whole', tmp_path / 'killed'

    def arguments(folder, *extra):
        return train_arguments(folder, EPOCHS, extra=extra)

    assert call_tool('train.py', *arguments(whole)) == 0
    assert ' entries missing' in log(whole)

    resume = arguments(work_dir, '--resume', 'auto')
    rng = random.Random(0)
    for epoch in KILLS:

        def reached(number=epoch):
            if number == 0:
                return 'Epoch 1/' in log(work_dir)
            return (work_dir / f'epoch_{number}.pth').exists()

        # At once (evaluation, the next epoch's first batches) or later.
        delay = rng.uniform(0, 0.5) if epoch else 0
        for _ in range(5):
            assert kill_when(reached, delay, 'train.py', *resume)
            if epoch or not (work_dir / 'epoch_1.pth').exists():
                break
            # It was quicker.
            shutil.rmtree(work_dir)
        assert epoch or not (work_dir / 'epoch_1.pth').exists()
    # What a crash of the machine could leave: a newest file cut short.
    torn = work_dir / 'epoch_99.pth'
    newest = sorted(work_dir.glob('epoch_?.pth'))[-1]
    torn.write_bytes(newest.read_bytes()[:1000])
    assert call_tool('train.py', *resume) == 0

    # What was computed before a kill was read and not computed again.
    counts = re.findall(r'(\d+) entries missing', log(work_dir))
    assert len(counts) > 1 and len(set(counts)) > 1

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
