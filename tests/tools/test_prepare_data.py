"""tools/prepare_data.py, as a user runs it."""

import re
import runpy
import sys

import pytest

from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.subset import split_digest
from tests.cli import REPOSITORY

CLASSES = ('dog', 'elephant', 'giraffe', 'guitar', 'horse', 'house', 'person')
DOMAINS = ('art_painting', 'cartoon', 'photo', 'sketch')


@pytest.fixture
def pacs(tmp_path):
    for domain in DOMAINS:
        for name in CLASSES:
            folder = tmp_path / 'kfold' / domain / name
            folder.mkdir(parents=True)
            for number in range(3):
                (folder / f'{number}.jpg').touch()
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
    printed = capsys.readouterr().out.splitlines()
    for name in CLASSES:
        (row,) = [line for line in printed if f' {name} ' in line]
        assert row.count('2 of 3') == 4
    for domain in DOMAINS:
        split = DomainFolder(str(pacs), domain, labels_per_class=2, seed=1)
        (line,) = [one for one in printed if one.startswith(f'{domain}: 21 ')]
        assert line.endswith(split_digest(split))


def test_missing_domain_is_named(pacs, tool, capsys):
    (pacs / 'kfold' / 'sketch').rename(pacs / 'sk')
    assert tool('pacs', '--data-root', pacs) == 2
    said = capsys.readouterr()
    assert said.err.startswith('error: pacs: 1 problem(s)')
    assert 'sketch' in said.err and 'domaingeneralization' in said.err
    assert said.err.count('\n') == 1
    assert 'photo: 21 images' in said.out


@pytest.mark.parametrize(
    'arguments, named',
    [
        (('pac',), "NAME: .*'pac'"),
        (('pacs', '--fraction', 0.1, '--labels-per-class', 1), '--fraction'),
        (('pacs', '--labels-per-class', 4), "labels_per_class: .*'dog'"),
    ],
)
def test_wrong_arguments_are_named(pacs, tool, capsys, arguments, named):
    assert tool(*arguments, '--data-root', pacs) == 2
    assert re.search(named, capsys.readouterr().err)
