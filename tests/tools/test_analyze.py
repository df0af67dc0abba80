"""What tools/analyze.py refuses; its pictures: tests/analysis/."""

import pytest

from tests.cli import call_tool


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['none'], ['none', 'work directory']),
        (['empty'], ['empty', 'results.json']),
        (['run', 'other/../run'], ['run', 'twice']),
        (['run', '--names', 'a', 'b'], ['--names', "'b'"]),
        (['run', 'other', '--names', 'x', 'x'], ['--names', "'x'"]),
        (['run', '--out', 'run/results.json'], ['--out', 'results.json']),
    ],
)
def test_wrong_input_is_one_sentence(
    tmp_path, monkeypatch, capsys, arguments, words
):
    for name in ('empty', 'run', 'other'):
        (tmp_path / name).mkdir()
        if name != 'empty':
            (tmp_path / name / 'results.json').write_text('{}')
    monkeypatch.chdir(tmp_path)
    assert call_tool('analyze.py', *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ')
    for word in words:
        assert word in line
