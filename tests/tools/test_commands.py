"""mmkd and the tools: the same commands, told without a library."""

import resource
import subprocess
import sys

import pytest

import mmkd_custom
from mmkd_custom import cli
from mmkd_custom.cli import train
from mmkd_custom.cli.shared.commands import SHORT, commands
from tests.cli import REPOSITORY, call_tool, command, environment

COMMANDS = sorted(commands())
HEAVY = {'torch', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'timm', 'rich'}
#: Runs a file as a program and says which of the heavy packages it imports.
WATCH = f"""
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
finally:
    print('imported:', sorted({HEAVY!r} & set(sys.modules)))
"""


def mmkd(*words):
    return subprocess.run(
        [sys.executable, '-m', 'mmkd_custom', *words],
        env=environment(),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize('tool', COMMANDS)
def test_help_imports_no_library(tool):
    done = subprocess.run(
        [sys.executable, '-c', WATCH, *command(f'{tool}.py', '--help')[1:]],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stderr == ''
    usage, *_, imported = done.stdout.splitlines()
    assert usage.startswith(f'usage: {tool}.py ')
    assert imported == 'imported: []'


def test_help_takes_less_than_a_second_of_the_processor():
    def spent():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    subprocess.run(
        command('train.py', '--help'), check=True, env=environment()
    )
    assert spent() - before < 1


def test_every_tool_is_a_command():
    folder = REPOSITORY / 'tools'
    assert COMMANDS == sorted(
        path.stem
        for path in folder.glob('[a-z]*.py')
        # The demo is of a clone alone.
        if path.stem != 'demo' or path.stem in COMMANDS
    )
    assert all(name in COMMANDS for name in SHORT.values())


def test_the_list_has_a_line_of_each_and_says_where_things_are():
    done = mmkd('--help')
    assert done.returncode == 0
    for name, line in commands().items():
        assert f'  {name} ' in done.stdout and line in done.stdout
        assert line.endswith('.') and len(line) < 75
    for folder in ('configs', 'tools'):
        assert str(REPOSITORY / folder) in done.stdout
    assert mmkd().returncode == 2
    assert mmkd('--version').stdout.split()[-1] == mmkd_custom.__version__


@pytest.mark.parametrize('word', ['export', 'export-student'])
def test_other_spellings(word):
    done = mmkd(word, '--help')
    assert done.returncode == 0
    assert done.stdout.startswith(f'usage: mmkd {word} ')


def test_an_unknown_command_names_the_nearest():
    done = mmkd('trian', 'config.py')
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
    assert 'trian' in done.stderr and "'train'" in done.stderr


def test_a_command_is_the_tool(monkeypatch):
    seen = []
    monkeypatch.setattr(train, 'main', lambda: seen.append(sys.argv[1:]))
    # Both set it, and no other test is to see it.
    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)
    assert call_tool('train.py', 'a.py', '--amp') == 0
    monkeypatch.setattr(sys, 'argv', ['mmkd', 'train', 'a.py', '--amp'])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    assert seen == [['a.py', '--amp']] * 2


def test_the_package_itself_is_light():
    code = (
        'import sys, mmkd_custom\n'
        f'print(sorted({HEAVY!r} & set(sys.modules)))\n'
        'mmkd_custom.nothing'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == '[]\n'
    assert done.stderr.splitlines()[-1].startswith('AttributeError: ')
