"""Running a benchmark, with programs of a few lines in place of training."""

import os
import sys

import pytest
import torch

from mmkd_custom.benchmark.local import run_cells, visible_devices
from mmkd_custom.errors import UserError

#: Finishes as a training does, and says with what it ran.
FINISH = """
import json, os, sys
seed = int(os.environ['SEED'])
json.dump(dict(config='c.py', task='a->b', seed=seed, last={}, oracle={},
               device=os.environ.get('CUDA_VISIBLE_DEVICES'),
               threads=os.environ.get('OMP_NUM_THREADS')),
          open(sys.argv[1] + '/results.json', 'w'))
"""
#: Waits until seeds 0 and 1 are both there.
MEET = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / 'pid').write_text(str(os.getpid()))
deadline = time.time() + 600
while not all((folder.parent / seed / 'pid').exists() for seed in '01'):
    assert time.time() < deadline
    time.sleep(0.05)
"""
FAIL = "print('starts'); raise ValueError('the last line')"
USER = "import sys; print('error: no such folder.'); print('bye'); sys.exit(2)"
SLEEP = 'import time; time.sleep(3600)'


def program(*texts):
    """Returns commands of cells: the texts in turn, the last for others."""

    def command(cell):
        text = texts[min(cell.run.seed, len(texts) - 1)]
        return [sys.executable, '-c', text, str(cell.work_dir)]

    return command


def test_what_has_finished_is_kept(cells):
    said = []
    assert run_cells(cells[:1], program(FINISH), report=said.append) == {}
    path = cells[0].work_dir / 'results.json'
    before = path.stat().st_mtime_ns
    assert run_cells(cells, program(FINISH), report=said.append) == {}
    assert path.stat().st_mtime_ns == before
    assert [cell.results()['seed'] for cell in cells] == [0, 1, 2]
    assert len([line for line in said if 'done' in line]) == 3


def test_jobs_run_at_once_on_devices_of_their_own(cells):
    run_cells(cells[:2], program(MEET + FINISH), 2, ['4', '7'], report=len)
    assert {cell.results()['device'] for cell in cells[:2]} == {'4', '7'}
    run_cells(cells[2:], program(FINISH), report=len)
    own = os.environ.get('CUDA_VISIBLE_DEVICES')
    assert cells[2].results()['device'] == own


def test_jobs_share_the_cores(cells, monkeypatch):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 16)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    run_cells(cells[:1], program(FINISH), 5, report=len)
    run_cells(cells[:2], program(FINISH), 1, report=len)
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    run_cells(cells, program(FINISH), 5, report=len)
    found = [cell.results()['threads'] for cell in cells]
    assert found == ['3', None, '7']


def test_each_that_finishes_is_told(cells):
    done = []
    run_cells(
        cells, program(FAIL, FINISH), 1, report=len, finished=done.append
    )
    assert done == cells[1:]


def test_failure_is_told_and_others_go_on(cells):
    said = []
    failed = run_cells(cells, program(FAIL, FINISH), report=said.append)
    assert failed == {cells[0]: 'ValueError: the last line'}
    assert [cell.results() is None for cell in cells] == [True, False, False]
    assert any('ValueError: the last line' in line for line in said)
    # The next call tries again, and tells of its own attempt only.
    failed = run_cells(cells, program('raise SystemExit(3)'), report=len)
    assert failed == {cells[0]: 'exit code 3'}
    assert run_cells(cells, program('print("second")'), report=len)
    log = cells[0].log.read_text()
    assert 'starts' in log and 'second' in log


@pytest.mark.parametrize(
    'text, named', [(USER, 'no such folder.$'), ('raise SystemExit(2)', 'log')]
)
def test_mistake_of_the_user_stops_it(cells, text, named):
    with pytest.raises(UserError, match=f'c, a->b, seed 0: .*{named}'):
        run_cells(cells, program(text, FINISH), report=len)
    assert cells[2].results() is None


def test_interruption_ends_all_processes(cells):
    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        programs = program(MEET + FINISH, MEET + SLEEP, FINISH)
        run_cells(cells, programs, 2, report=interrupt)
    pid = int((cells[1].work_dir / 'pid').read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_devices(monkeypatch):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    assert visible_devices(0) == visible_devices(1) == []
    assert visible_devices(3) == ['0', '1', '2']
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2,5')
    assert visible_devices(2) == ['2', '5']
