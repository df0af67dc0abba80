"""Command line arguments that tools share."""

import argparse
import os
from pathlib import Path

import pytest

from mmkd_custom.engine.arguments import (
    add_cfg_options,
    add_json,
    parse_launched,
)


@pytest.fixture
def command_line(monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)

    def given(*words):
        monkeypatch.setattr('sys.argv', ['tool', *words])

    yield given
    # What parse_launched() set, which monkeypatch knows nothing of.
    os.environ.pop('LOCAL_RANK', None)


def test_settings_of_the_config_are_parsed_as_python_values(command_line):
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    command_line('--cfg-options', 'a.b=2', 'c=[1,2]', 'd=None')
    options = parser.parse_args().cfg_options
    assert options == {'a.b': 2, 'c': [1, 2], 'd': None}


def test_json_is_a_path(command_line):
    parser = argparse.ArgumentParser()
    add_json(parser, 'figures')
    command_line('--json', 'a/b.json')
    assert parser.parse_args().json == Path('a/b.json')
    assert 'also write the figures' in parser.format_help()


@pytest.mark.parametrize(
    ('words', 'rank'),
    [((), '0'), (('--local_rank', '3'), '3'), (('--local-rank=1',), '1')],
)
def test_the_local_rank_goes_where_mmengine_looks(command_line, words, rank):
    command_line('--launcher', 'pytorch', *words)
    args = parse_launched(argparse.ArgumentParser())
    assert args.launcher == 'pytorch'
    assert os.environ['LOCAL_RANK'] == rank


def test_a_launchers_own_local_rank_stands(command_line, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '5')
    command_line('--local_rank', '3')
    parse_launched(argparse.ArgumentParser())
    assert os.environ['LOCAL_RANK'] == '5'


def test_an_unknown_launcher_is_refused(command_line, capsys):
    command_line('--launcher', 'kubernetes')
    with pytest.raises(SystemExit) as left:
        parse_launched(argparse.ArgumentParser())
    assert left.value.code == 2
    assert 'kubernetes' in capsys.readouterr().err
