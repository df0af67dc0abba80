"""One image at a time: what is timed, and what stands beside it."""

import json
import shutil
import subprocess
import sys
import time

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.export import export_onnx
from mmkd_custom.measuring import latency as module
from mmkd_custom.measuring import latency_run
from mmkd_custom.measuring.latency import (
    ONNX_FILES,
    bought,
    latency,
    least_share,
)
from mmkd_custom.measuring.latency_run import (
    LEAST,
    measured,
    run_onnx,
    run_torch,
    timed,
)
from tests.cli import environment
from tests.shipped_students import colour_student, finished_run


def test_warm_up_is_not_counted_and_slow_calls_end():
    calls = []
    spent, _ = timed(lambda: calls.append(1), 30, 5, 10)
    assert len(spent) == 30 and len(calls) == 35
    spent, cpu = timed(lambda: time.sleep(0.01), 1000, 1, 0.001)
    assert len(spent) == LEAST and min(spent) >= 10
    # Who sleeps uses no processor.
    assert cpu < 5


def test_memory_is_that_of_the_first_number_of_threads(monkeypatch):
    asked = []

    def with_threads(count):
        asked.append(count)
        return lambda: None

    # A test process has peaks of its own.
    monkeypatch.setattr(latency_run, 'peak_mb', lambda: 100.0 * len(asked))
    found = measured(with_threads, 36.0, [1, 2], 20, 1, 1)
    assert asked == [1, 2]
    assert [each['threads'] for each in found['times']] == [1, 2]
    assert found['memory_mb'] == 64 and found['process_mb'] == 100
    for each in found['times']:
        assert 0 < each['ms'] <= each['p95_ms'] and each['mean_ms'] > 0
        assert each['runs'] == 20


def test_p95_is_not_above_what_was_measured(monkeypatch):
    spent = [1.0] * 9 + [10.0]
    monkeypatch.setattr(latency_run, 'timed', lambda *_: (spent, 1.0))
    found = measured(lambda count: None, 0.0, [1], 10, 1, 1)
    assert 1 < found['times'][0]['p95_ms'] <= max(spent)


def test_an_onnx_file_runs_without_torch(tmp_path):
    pytest.importorskip('onnxruntime')
    folder = colour_student(tmp_path / 'x')
    code = f"""
import json, sys
from mmkd_custom.measuring.latency_run import run_onnx
options = dict(threads=[1], runs=3, warmup=1, seconds=5)
for name in ('student', 'student_uint8'):
    found = run_onnx({str(folder)!r} + f'/{{name}}.onnx', **options)
    print(json.dumps(found['input']))
print({{'torch', 'mmengine', 'mmpretrain'}} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    prepared, pixels, heavy = done.stdout.splitlines()
    assert json.loads(prepared) == [1, 3, 8, 8]
    assert json.loads(pixels) == [1, 224, 224, 3]
    assert heavy == 'set()'


@pytest.fixture
def in_this_process(monkeypatch):
    """Three processes would import the libraries three times."""

    def run(order):
        kind = order.pop('kind')
        return run_onnx(**order) if kind == 'onnx' else run_torch(kind, order)

    monkeypatch.setattr(module, '_in_its_own_process', run)
    yield
    torch.set_num_threads(1)


def test_a_run_has_its_teacher_and_its_files_beside_it(
    tmp_path, in_this_process
):
    pytest.importorskip('onnxruntime')
    run = tmp_path / 'run'
    model = finished_run(run)
    (run / 'export').mkdir()
    export_onnx(model, run / 'export' / 'student.onnx', 32)
    for name in ONNX_FILES[1:]:
        shutil.copy(run / 'export' / ONNX_FILES[0], run / 'export' / name)
    # Named alone, one belongs to its run and the other to nobody.
    alone = run / 'export' / ONNX_FILES[0]
    strange = colour_student(tmp_path / 'x') / 'student.onnx'
    found = latency([run, alone, strange], runs=3, warmup=1, seconds=5)
    *listed, own, other = found['rows']
    assert own['macs'] == listed[1]['macs']
    assert other['macs'] is None and other['parameters'] is None
    assert found['left_out'] == []
    rows = {row['network']: row for row in listed}
    assert list(rows) == [
        *('teacher', 'torch', 'student.onnx', 'student_int8.onnx')
    ]
    # Nobody has measured it.
    assert rows['student_int8.onnx']['metrics'] == {}
    parameters = sum(p.numel() for p in model.parameters())
    for name in ('torch', 'student.onnx'):
        row = rows[name]
        assert row['parameters'] == parameters
        assert row['macs'] == rows['torch']['macs'] > 1e5
        assert row['metrics'] == {'accuracy/top1': 50.0}
        assert row['input'] == [1, 3, 32, 32]
    assert rows['teacher']['parameters'] != parameters
    file = run / 'student.pth'
    assert rows['torch']['file_bytes'] == file.stat().st_size
    by = {each['network']: each for each in bought(listed)}
    assert list(by) == ['torch', 'student.onnx', 'student_int8.onnx']
    assert by['torch']['parameters'] == pytest.approx(
        rows['teacher']['parameters'] / parameters
    )


def test_a_folder_without_a_size_or_a_student_is_refused(tmp_path):
    with pytest.raises(UserError, match='nowhere'):
        latency([tmp_path / 'nowhere'])
    with pytest.raises(UserError, match='a.onnx'):
        latency([tmp_path / 'a.onnx'])
    for option, value in dict(
        runs=0, warmup=0, seconds=0, threads=[0]
    ).items():
        with pytest.raises(UserError, match=f'--{option}'):
            latency([tmp_path], **{option: value})


def test_a_single_teacher_stands_for_all():
    def row(student, network, ms, **more):
        names = ('parameters', 'macs', 'file_bytes', 'memory_mb')
        values = dict.fromkeys(names, ms * 10)
        times = [dict(cpu_ms=ms, mean_ms=2 * ms, threads=1)]
        return dict(
            values, student=student, network=network, times=times, **more
        )

    rows = [row('a', 'teacher', 8.0), row('b', 'student.onnx', 2.0)]
    (found,) = bought(rows)
    assert found['student'] == 'b' and found['cpu_ms'] == found['macs'] == 4
    assert least_share(rows) == 0.5
    rows.append(row('c', 'teacher', 4.0))
    # Whose teacher is not known.
    assert bought(rows) == []
