"""tools/predict.py, as a user runs it."""

import json

import pytest

from tests.cli import call_tool
from tests.shipped_students import colour_student, picture

pytest.importorskip('onnxruntime')


@pytest.fixture
def student(tmp_path):
    return colour_student(tmp_path / 'student') / 'student_uint8.onnx'


def test_a_broken_file_ends_a_strict_run_alone(student, tmp_path, capsys):
    folder = tmp_path / 'images'
    picture(folder / 'a.png', 'red')
    (folder / 'b.png').write_text('no image')
    found = tmp_path / 'a.json'
    command = ('predict.py', student, folder, '--json', found)
    assert call_tool(*command) == 0
    out, err = capsys.readouterr()
    assert 'a.png: red' in out
    (warning,) = [li for li in err.splitlines() if li.startswith('warning')]
    assert '1 ' in warning and 'b.png' in warning
    found.unlink()
    assert call_tool(*command, '--strict') == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('error: --strict') and 'b.png' in last
    # All others are predicted all the same.
    assert [e.get('label') for e in json.loads(found.read_text())] == [
        'red',
        None,
    ]


def test_many_images_are_counted(student, tmp_path, capsys):
    for i in range(30):
        picture(tmp_path / 'images' / f'{i}.png', 'green' if i % 3 else 'blue')
    assert call_tool('predict.py', student, tmp_path / 'images') == 0
    lines = capsys.readouterr().out.splitlines()
    assert any('green' in line and ' 20 ' in line for line in lines)
    assert any('blue' in line and ' 10 ' in line for line in lines)


def test_a_threshold_without_copies(student, tmp_path, capsys):
    image = picture(tmp_path / 'a.png', 'red')
    assert call_tool('predict.py', student, image, '--above', '0.5') == 2
    assert '--above' in capsys.readouterr().err
