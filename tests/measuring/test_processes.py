"""A process answers, and is not waited for in vain when it cannot."""

import os
import signal

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.measuring import processes as module
from tests.measuring import throughput_stand_ins as stand_ins


def test_a_process_is_asked_and_ends(monkeypatch):
    monkeypatch.setattr(module, 'serve', stand_ins.answers)
    monkeypatch.setattr(module, 'GRACE', 600)
    with module.processes(dict(a=dict(number=1))) as running:
        assert running['a'].about == dict(number=1)
        assert running['a'].ask('who') == dict(asked='who')
        process = running['a'].process
    assert process.exitcode == 0


@pytest.mark.parametrize(
    'target, error, words',
    [
        (stand_ins.mistaken, UserError, 'model.teacher: no such file.'),
        (stand_ins.failing, RuntimeError, 'b: its process failed.*ZeroDiv'),
        (stand_ins.leaving, RuntimeError, 'b: .* ended with exit code 3'),
    ],
)
def test_a_process_that_ends_is_reported(monkeypatch, target, error, words):
    monkeypatch.setattr(module, 'serve', target)
    with pytest.raises(error, match=f'(?s){words}'):
        with module.processes(dict(b={})):
            pass


def test_nobody_waits_for_a_worker_that_holds_the_pipe(monkeypatch, tmp_path):
    monkeypatch.setattr(module, 'serve', stand_ins.killed_with_a_worker)
    path = tmp_path / 'worker'
    try:
        with pytest.raises(UserError, match='b: .* out of memory'):
            with module.processes(dict(b=dict(worker=str(path)))):
                pass
    finally:
        # It still ran: else there would be no such process.
        os.kill(int(path.read_text()), signal.SIGKILL)


def test_a_process_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(module, 'serve', stand_ins.deaf)
    monkeypatch.setattr(module, 'GRACE', 0.2)
    with module.processes(dict(c={})) as running:
        process = running['c'].process
    assert process.exitcode == -9
