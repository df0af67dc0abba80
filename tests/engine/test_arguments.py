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
    add_json(parser, 'figures')
    command_line(
        '--json', 'a/b.json', '--cfg-options', 'a.b=2', 'c=[1,2]', 'd=None'
    )
    args = parser.parse_args()
    assert args.json == Path('a/b.json')
    assert args.cfg_options == {'a.b': 2, 'c': [1, 2], 'd': None}


@pytest.mark.parametrize(
    ('words', 'rank'),
    [((), '0'), (('--local_rank', '3'), '3'), (('--local-rank=1',), '1')],
)
def test_local_rank_goes_where_mmengine_looks(
    command_line, monkeypatch, words, rank
):
    command_line('--launcher', 'pytorch', *words)
    args = parse_launched(argparse.ArgumentParser())
    assert args.launcher == 'pytorch'
    assert os.environ['LOCAL_RANK'] == rank
    monkeypatch.setenv('LOCAL_RANK', '5')
    # A launcher's own stands.
    parse_launched(argparse.ArgumentParser())
    assert os.environ['LOCAL_RANK'] == '5'
