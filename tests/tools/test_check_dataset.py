"""tools/check_dataset.py on a config; on a folder see tests/datasets."""

import json
import runpy
import sys

import pytest

from mmkd_custom.errors import UserError
from tests.cli import REPOSITORY
from tests.helpers import make_domains

TOOL = str(REPOSITORY / 'tools' / 'check_dataset.py')
CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'


@pytest.fixture
def tool(monkeypatch):
    """Calls the tool's main function."""

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, arguments)])
        return runpy.run_path(TOOL)['main']()

    return call


def test_a_config(tool, tmp_path, monkeypatch, capsys):
    root = make_domains(tmp_path / 'data', per_class=2)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo'
    ).items():
        monkeypatch.setenv(name, value)
    arguments = ('--config', CONFIG, '--workers', '1')
    tool(*arguments)
    said = capsys.readouterr().out
    assert 'labelled: 6 images' in said and 'every image can be read' in said
    assert 'note: 6 images are both trained on without label' in said
    source = root / 'art' / 'owl' / '000.jpg'
    (root / 'photo' / 'owl' / 'copy.jpg').write_bytes(source.read_bytes())
    report = tmp_path / 'report.json'
    with pytest.raises(UserError, match=r'1 problem\(s\) listed above'):
        tool(*arguments, '--json', report)
    assert 'problem: ' in capsys.readouterr().out
    (problem,) = json.loads(report.read_text())['problems']
    assert 'copy.jpg (test), labelled for training and tested on' in problem


@pytest.mark.parametrize(
    'arguments',
    [
        (),
        ('folder', '--config', CONFIG),
        ('--config', CONFIG, '--domains', 'x'),
        ('folder', '--cfg-options', 'a=1'),
    ],
)
def test_arguments_that_do_not_go_together(tool, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        tool(*arguments)
    assert ended.value.code == 2
