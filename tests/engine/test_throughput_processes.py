"""A process answers, and is not waited for in vain when it cannot."""

import time

import pytest

from mmkd_custom.engine import throughput_processes as module
from mmkd_custom.errors import UserError
from tests.engine import throughput_stand_ins as stand_ins


def test_a_process_is_asked_and_ends(monkeypatch):
    monkeypatch.setattr(module, 'serve', stand_ins.answers)
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
        (stand_ins.killed_with_a_worker, UserError, 'b: .* out of memory'),
    ],
)
def test_a_process_that_ends_is_reported(monkeypatch, target, error, words):
    monkeypatch.setattr(module, 'serve', target)
    start = time.monotonic()
    with pytest.raises(error, match=f'(?s){words}'):
        with module.processes(dict(b={})):
            pass
    # Nobody waits for the worker that holds the pipe.
    assert time.monotonic() - start < 30


def test_a_process_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(module, 'serve', stand_ins.deaf)
    monkeypatch.setattr(module, 'GRACE', 0.2)
    with module.processes(dict(c={})) as running:
        process = running['c'].process
    assert process.exitcode == -9
