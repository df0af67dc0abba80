"""Running a benchmark, with programs of a few lines in place of training."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mmkd_custom.benchmark import local as benchmark_run
from mmkd_custom.benchmark.cells import Cell
from mmkd_custom.benchmark.local import run_cells, visible_devices
from mmkd_custom.benchmark.tables import Run
from mmkd_custom.errors import UserError

#: Finishes as a training does, and says with what it ran.
FINISH = """
import json, os, sys
seed = int(os.environ['SEED'])
json.dump(dict(config='c.py', task='a->b', seed=seed, last={}, oracle={},
               device=os.environ.get('CUDA_VISIBLE_DEVICES')),
          open(sys.argv[1] + '/results.json', 'w'))
"""
#: Waits until seeds 0 and 1 are both there.
MEET = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / 'there').touch()
deadline = time.time() + 600
while not all((folder.parent / seed / 'there').exists() for seed in '01'):
    assert time.time() < deadline
    time.sleep(0.05)
"""
FAIL = "print('starts'); raise ValueError('the last line')"
USER = "import sys; print('error: no such folder.'); print('bye'); sys.exit(2)"
# A process that ignores what asks it to end, and its worker.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = 'import time; time.sleep(3600)'
child = subprocess.Popen([sys.executable, '-c', sleep])
open(sys.argv[1] + '/pid', 'w').write(str(child.pid))
time.sleep(3600)
"""


@pytest.fixture
def cells(tmp_path):
    return [
        Cell(
            Run('c', 'a->b', seed),
            Path('c.py'),
            (('SEED', str(seed)),),
            tmp_path / str(seed),
        )
        for seed in range(3)
    ]


def program(*texts):
    """Gives the commands of cells: the texts in turn, the last for others."""

    def command(cell):
        text = texts[min(cell.run.seed, len(texts) - 1)]
        return [sys.executable, '-c', text, str(cell.work_dir)]

    return command


def alive(pid):
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1]
    except FileNotFoundError:
        return False
    # A dead one stays until its new parent looks.
    return state.split()[0] != 'Z'


def test_what_has_finished_is_kept(cells):
    said = []
    assert run_cells(cells[:1], program(FINISH), report=said.append) == {}
    before = cells[0].results()
    assert run_cells(cells, program(FINISH), report=said.append) == {}
    assert cells[0].results() == before
    assert [cell.results()['seed'] for cell in cells] == [0, 1, 2]
    assert '1 of 3 runs had finished already' in said
    assert len([s for s in said if 'done' in s]) == 3


def test_jobs_run_at_once_on_devices_of_their_own(cells):
    run_cells(cells[:2], program(MEET + FINISH), 2, ['4', '7'], report=len)
    first, second = (cell.results() for cell in cells[:2])
    assert {first['device'], second['device']} == {'4', '7'}
    run_cells(cells[2:], program(FINISH), report=len)
    assert cells[2].results()['device'] == os.environ.get(
        'CUDA_VISIBLE_DEVICES'
    )


def test_a_failure_is_told_and_others_go_on(cells):
    said = []
    failed = run_cells(cells, program(FAIL, FINISH), report=said.append)
    assert failed == {cells[0]: 'ValueError: the last line'}
    assert [cell.results() is None for cell in cells] == [True, False, False]
    assert any('failed (ValueError: the last line)' in line for line in said)
    # The next call tries again, and tells of its own attempt only.
    failed = run_cells(cells, program('print("second")'), report=said.append)
    assert failed == {cells[0]: 'it ended without results.json'}
    assert 'starts' in cells[0].log.read_text()
    assert 'second' in cells[0].log.read_text()


def test_an_older_attempt_does_not_speak_for_this_one(cells):
    first = "print('error: an older sentence.'); raise SystemExit(3)"
    failed = run_cells(cells[:1], program(first), report=len)
    assert failed == {cells[0]: 'error: an older sentence.'}
    silent = 'raise SystemExit(3)'
    failed = run_cells(cells[:1], program(silent), report=len)
    assert failed == {cells[0]: 'exit code 3'}
    with pytest.raises(UserError, match='seed 0: see .*train.log'):
        run_cells(cells[:1], program('raise SystemExit(2)'), report=len)


def test_a_mistake_of_the_user_stops_it(cells):
    with pytest.raises(UserError, match='c, a->b, seed 0: no such folder.$'):
        run_cells(cells, program(USER, FINISH), report=len)
    assert cells[1].results() is None


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='no /proc')
def test_whatever_stops_it_ends_all_processes(cells, monkeypatch):
    monkeypatch.setattr(benchmark_run, 'GRACE', 0.2)
    # It fails once the other's worker is there.
    fail = (
        'import pathlib, sys, time\n'
        'path = pathlib.Path(sys.argv[1]).parent / "1" / "pid"\n'
        'while not (path.is_file() and path.read_text()): time.sleep(0.05)\n'
        'sys.exit(2)'
    )
    with pytest.raises(UserError):
        run_cells(cells[:2], program(fail, STUBBORN), 2, report=len)
    assert gone((cells[1].work_dir / 'pid').read_text())


def gone(pid):
    deadline = time.time() + 120
    while alive(pid) and time.time() < deadline:
        time.sleep(0.05)
    return not alive(pid)


@pytest.fixture
def once_there():
    """Does something as soon as a file is there, in another thread."""
    threads = []

    def start(path, act):
        def wait():
            deadline = time.time() + 600
            while time.time() < deadline:
                if path.is_file() and path.read_text():
                    return act()
                time.sleep(0.05)

        threads.append(threading.Thread(target=wait))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


@pytest.fixture
def unheard():
    """Has signals that nobody listens to fail the test, not end pytest.

    And SIGINT to interrupt: a shell that starts pytest in the background has
    it ignored.
    """

    def fail(number, _):
        raise AssertionError(f'nobody listens to signal {number}')

    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: fail,
        signal.SIGHUP: fail,
    }
    before = {n: signal.signal(n, handlers[n]) for n in handlers}
    yield fail
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='no /proc')
@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGHUP'])
def test_an_interruption_ends_all_processes(
    cells, monkeypatch, unheard, once_there, name
):
    # Longer than the test may take: it must not be waited for.
    monkeypatch.setattr(benchmark_run, 'GRACE', 3600.0)
    number, path = getattr(signal, name), cells[0].work_dir / 'pid'
    acted, send = threading.Event(), benchmark_run._Child.signal

    def noted(child, number):
        send(child, number)
        acted.set()
        # The next signal comes here, before anything is waited for.
        time.sleep(0.2)

    monkeypatch.setattr(benchmark_run._Child, 'signal', noted)

    def twice():
        os.kill(os.getpid(), number)
        # An impatient user does not wait for the stubborn one.
        acted.wait(600)
        os.kill(os.getpid(), number)

    once_there(path, twice)
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells[:1], program(STUBBORN), report=len)
    assert gone(path.read_text())
    assert signal.getsignal(signal.SIGHUP) is unheard


def test_nohup_is_respected(cells, unheard, once_there):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    wait = (
        'import os, pathlib, time\n'
        'path = pathlib.Path(sys.argv[1])\n'
        '(path / "pid").write_text("there")\n'
        'while not (path / "go").is_file(): time.sleep(0.05)\n'
    )

    def hang_up():
        os.kill(os.getpid(), signal.SIGHUP)
        (cells[0].work_dir / 'go').touch()

    once_there(cells[0].work_dir / 'pid', hang_up)
    text = f'import sys\n{wait}{FINISH}'
    assert run_cells(cells[:1], program(text), report=len) == {}


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='no /proc')
def test_what_a_killed_one_leaves_is_ended(cells):
    path = cells[0].work_dir / 'pid'
    text = STUBBORN.replace('\ntime.sleep(3600)\n', '\n') + (
        'import os; os.kill(os.getpid(), signal.SIGKILL)'
    )
    failed = run_cells(cells[:1], program(text), report=len)
    assert failed == {cells[0]: 'exit code -9'}
    assert gone(path.read_text())


def test_two_calls_do_not_train_one_run(cells):
    cells[0].work_dir.mkdir()
    with open(cells[0].log, 'ab') as log:
        other = subprocess.Popen(
            [sys.executable, '-c', 'input()'],
            stdin=subprocess.PIPE,
            stdout=log,
        )
        fcntl.flock(log, fcntl.LOCK_EX)
    # What started the other is gone, the other goes on.
    with pytest.raises(UserError, match='another process is training in'):
        run_cells(cells[:1], program(FINISH), report=len)
    other.communicate(b'\n')
    assert run_cells(cells[:1], program(FINISH), report=len) == {}


def test_devices(monkeypatch):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    assert visible_devices(0) == visible_devices(1) == []
    assert visible_devices(3) == ['0', '1', '2']
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2,5')
    assert visible_devices(2) == ['2', '5']
