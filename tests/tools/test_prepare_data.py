"""tools/prepare_data.py, as a user runs it."""

import runpy
import sys

import pytest
from PIL import Image

from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.subset import split_digest
from tests.cli import REPOSITORY, run_tool

CLASSES = ('dog', 'elephant', 'giraffe', 'guitar', 'horse', 'house', 'person')
DOMAINS = ('art_painting', 'cartoon', 'photo', 'sketch')


@pytest.fixture
def pacs(tmp_path):
    for domain in DOMAINS:
        for name in CLASSES:
            folder = tmp_path / 'kfold' / domain / name
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new('RGB', (8, 8)).save(folder / f'{number}.jpg')
    return tmp_path


@pytest.fixture
def tool(monkeypatch):
    def run(*arguments):
        path = str(REPOSITORY / 'tools' / 'prepare_data.py')
        monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            runpy.run_path(path, run_name='__main__')
        return done.value.code

    return run


def test_table_and_digest(pacs, tool, capsys):
    options = ('--data-root', pacs, '--labels-per-class', 2, '--seed', 1)
    assert tool('pacs', *options) == 0
    printed = capsys.readouterr().out
    for name in CLASSES:
        (row,) = [line for line in printed.splitlines() if f' {name} ' in line]
        assert row.count('2 of 3') == 4
    for domain in DOMAINS:
        split = DomainFolder(str(pacs), domain, labels_per_class=2, seed=1)
        (line,) = [
            line
            for line in printed.splitlines()
            if line.startswith(f'{domain}: 21 images in 7 classes')
        ]
        assert line.endswith(f'SHA-256 {split_digest(split)}')
    assert 'PACS is in place' in printed


@pytest.mark.slow
def test_missing_domain(pacs):
    (pacs / 'kfold' / 'sketch').rename(pacs / 'sk')
    done = run_tool('prepare_data.py', 'pacs', DATA_ROOT=str(pacs))
    assert done.returncode == 2
    errors = [
        line for line in done.stderr.splitlines() if line.startswith('error:')
    ]
    assert len(errors) == 1 and 'Traceback' not in done.stderr
    assert 'sketch' in errors[0] and 'domaingeneralization' in errors[0]
    assert 'photo: 21 images' in done.stdout
    assert 'problem: sketch: ' in done.stdout


def test_unknown_protocol_and_both_amounts(tool, capsys):
    assert tool('pac') == 2
    assert "nearest: 'pacs'" in capsys.readouterr().err
    assert tool('pacs', '--fraction', 0.1, '--labels-per-class', 1) == 2


def test_more_labels_than_there_are(pacs, tool, capsys):
    assert tool('pacs', '--data-root', pacs, '--labels-per-class', 4) == 2
    assert "'dog' holds 3 images, but 4" in capsys.readouterr().err
