"""tools/export_student.py, as a user runs it."""

import pytest

from mmkd_custom.cli.export_student import RUNTIMES
from mmkd_custom.export import runtimes
from tests.cli import call_tool
from tests.export.runs import finished_run

onnxruntime = pytest.importorskip('onnxruntime')


def test_folder_of_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        'mmkd_custom.export.folder.check_elsewhere', lambda *_: None
    )
    work, out = finished_run(tmp_path), tmp_path / 'new' / 'out'
    export = ('export_student.py', work, '--out', out, '--onnx')
    assert call_tool(*export, '--input-size', 1, 2, 3) == 2
    assert '--input-size' in capsys.readouterr().err.splitlines()[-1]
    assert call_tool(*export, '--input-size', 32, 64) == 0
    said = capsys.readouterr().out
    assert 'student.onnx' in said and '9/9' not in said
    session = onnxruntime.InferenceSession(
        str(out / 'student.onnx'), providers=['CPUExecutionProvider']
    )
    assert session.get_inputs()[0].shape == ['batch', 3, 32, 64]


def test_options_are_the_runtimes():
    assert [o[2:] for o in RUNTIMES] == list(runtimes.RUNTIMES)
