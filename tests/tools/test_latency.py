"""tools/latency.py, as a user runs it."""

import json

import pytest

from tests.cli import call_tool
from tests.shipped_students import colour_student

pytest.importorskip('onnxruntime')


def test_it_prints_and_writes_its_figures(tmp_path, capsys):
    folder = colour_student(tmp_path / 'x')
    report = tmp_path / 'figures.json'
    files = [folder / f'student{end}.onnx' for end in ('', '_uint8')]
    options = ('--runs', 3, '--json', report)
    assert call_tool('latency.py', *files, *options) == 0
    out = capsys.readouterr().out
    found = json.loads(report.read_text())
    rows = found['rows']
    assert [row['student'] for row in rows] == list(map(str, files))
    for row in rows:
        assert row['file_bytes'] < 1000 and row['parameters'] is None
        assert f'{row["times"][0]["ms"]:.2f}' in out
    assert found['threads'][0] == 1 and found['versions']['onnxruntime']
