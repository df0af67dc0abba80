"""examples/edge: what runs on a device and in a browser says the same."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.cli import REPOSITORY
from tests.shipped_students import COLOURS, colour_student, picture

pytest.importorskip('onnxruntime')
EDGE = REPOSITORY / 'examples' / 'edge'
HEAVY = {'torch', 'torchvision', 'mmkd_custom', 'mmengine', 'mmpretrain'}
#: Runs a file as a program and says which of the heavy packages it imports.
WATCH = f"""
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
finally:
    print('imported:', sorted({HEAVY!r} & set(sys.modules)))
"""


@pytest.fixture
def images(tmp_path):
    return [picture(tmp_path / f'{colour}.png', colour) for colour in COLOURS]


def classify(*arguments):
    return subprocess.run(
        [sys.executable, '-c', WATCH, EDGE / 'classify.py', *arguments],
        capture_output=True,
        text=True,
    )


def test_one_file_needs_neither_torch_nor_this_package(tmp_path, images):
    folder = colour_student(tmp_path / 'x')
    broken = tmp_path / 'broken.png'
    broken.write_text('no image')
    done = classify(folder, *images, broken)
    *lines, imported = done.stdout.splitlines()
    assert imported == 'imported: []'
    for line, image, colour in zip(lines, images, COLOURS):
        assert line.startswith(f'{image}: {colour} ')
    assert done.returncode == 2 and str(broken) in done.stderr


def test_a_file_that_takes_no_pixels_is_refused(tmp_path, images):
    folder = colour_student(tmp_path / 'x')
    done = classify(folder / 'student.onnx', *images)
    assert done.returncode == 2 and 'student.onnx' in done.stderr
    (folder / 'student_uint8.onnx').unlink()
    done = classify(folder, *images)
    assert done.returncode == 2 and 'student_uint8.onnx' in done.stderr


def test_classes_are_those_that_the_student_answers(tmp_path, images):
    folder = colour_student(tmp_path / 'x', ['one', 'two'])
    done = classify(folder, *images)
    assert done.returncode == 2 and '3 classes' in done.stderr
    assert 'Traceback' not in done.stderr
    (folder / 'metadata.json').unlink()
    done = classify(folder, *images)
    assert done.returncode == 2 and 'metadata.json' in done.stderr
    assert 'Traceback' not in done.stderr


def npm(folder, *words):
    return subprocess.run(
        ['npm', *words], cwd=folder, capture_output=True, text=True
    )


@pytest.fixture
def page(tmp_path):
    """A copy of the page with its packages; skips where they are not had."""
    browser = os.environ.get('CHROMIUM') or next(
        filter(None, map(shutil.which, ('chromium', 'google-chrome'))), None
    )
    if browser is None:
        pytest.skip('no browser: apt-get install chromium, or set CHROMIUM')
    if shutil.which('npm') is None:
        pytest.skip('no npm, which brings onnxruntime-web')
    folder = tmp_path / 'web'
    ignored = shutil.ignore_patterns('node_modules', 'dist')
    shutil.copytree(EDGE / 'web', folder, ignore=ignored)
    done = npm(folder, 'install', '--no-audit', '--no-fund')
    if done.returncode:
        pytest.skip(f'npm install: {done.stderr.strip()[-200:]}')
    return folder


@pytest.mark.slow
def test_an_image_dropped_on_the_page_is_classified(tmp_path, images, page):
    refused = npm(page, 'run', 'build', '--', str(tmp_path))
    assert refused.returncode == 2 and 'student_uint8.onnx' in refused.stderr
    folder = colour_student(tmp_path / 'x')
    done = npm(page, 'run', 'build', '--', str(folder))
    assert done.returncode == 0, done.stderr
    broken = tmp_path / 'broken.png'
    broken.write_text('no image')
    done = npm(page, 'run', '-s', 'check', '--', *map(str, [*images, broken]))
    assert done.returncode == 0, done.stderr
    *said, refused = map(json.loads, done.stdout.splitlines())
    for entry, image, colour in zip(said, images, COLOURS):
        assert entry['image'] == str(image)
        assert next(iter(entry['answers'])) == colour
        # Of logits that differ by 4: 96.5 %.
        assert entry['answers'][colour] == '96.5 %'
    assert refused['answers'] == {} and 'broken.png' in refused['status']
