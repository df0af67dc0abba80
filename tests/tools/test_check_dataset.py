"""tools/check_dataset.py, as a user runs it."""

import json
import sys

import pytest

from mmkd_custom.cli import check_dataset
from mmkd_custom.errors import UserError
from tests.cli import REPOSITORY
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'


@pytest.fixture
def tool(monkeypatch):
    """Calls the tool's main function, without processes."""

    def call(*arguments):
        arguments = [*map(str, arguments), '--workers', '1']
        monkeypatch.setattr(sys, 'argv', ['check_dataset.py', *arguments])
        return check_dataset.main()

    return call


@pytest.fixture
def root(tmp_path):
    return make_domains(tmp_path / 'data', per_class=2)


def test_folder(tool, root, tmp_path, capsys):
    report = tmp_path / 'report.json'
    tool(root, '--json', report)
    assert json.loads(report.read_text())['counts']['art']['cat'] == 2
    (root / 'art' / 'owl' / '000.jpg').write_bytes(b'')
    with pytest.raises(UserError, match=r'1 problem\(s\).*000.jpg'):
        tool(root)
    assert '000.jpg' in capsys.readouterr().out
    tool(root, '--domains', 'photo')


def test_config(tool, root, tmp_path, monkeypatch, capsys):
    variables = dict(DATA_ROOT=str(root), SOURCE='art', TARGET='photo')
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tool('--config', CONFIG)
    said = capsys.readouterr().out
    assert 'labelled: 6 images' in said and 'note: 6 images' in said
    source = root / 'art' / 'owl' / '000.jpg'
    (root / 'photo' / 'owl' / 'copy.jpg').write_bytes(source.read_bytes())
    report = tmp_path / 'report.json'
    with pytest.raises(UserError, match=r'1 problem\(s\)'):
        tool('--config', CONFIG, '--json', report)
    (problem,) = json.loads(report.read_text())['problems']
    assert 'copy.jpg (test)' in problem


@pytest.mark.parametrize(
    'arguments',
    [
        (),
        ('folder', '--config', CONFIG),
        ('--config', CONFIG, '--domains', 'x'),
        ('folder', '--cfg-options', 'a=1'),
    ],
)
def test_arguments_that_do_not_go_together(tool, arguments):
    with pytest.raises(SystemExit) as ended:
        tool(*arguments)
    assert ended.value.code == 2
