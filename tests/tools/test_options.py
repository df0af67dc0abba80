"""Options that commands share, and what of a library stands in a command."""

import argparse
import os
from dataclasses import fields

import pytest

from mmkd_custom.analysis.browse import CHOICES
from mmkd_custom.cli import browse_dataset, prepare_data
from mmkd_custom.cli.shared.options import (
    add_cfg_options,
    add_json,
    add_launcher,
    parse,
)
from mmkd_custom.cli.teachers import adapt_teacher, probe_teacher
from mmkd_custom.datasets.checking.protocols import PROTOCOLS
from mmkd_custom.fitting.training import AdaptSettings
from mmkd_custom.models.teachers.wrappers.probed import (
    NORMALIZATIONS,
    STANDARDIZE,
)


@pytest.fixture
def parsed(monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)

    def given(add, *words):
        monkeypatch.setattr('sys.argv', ['tool', *words])
        parser = argparse.ArgumentParser()
        add(parser)
        return parse(parser)

    yield given
    # What parse() set, which monkeypatch knows nothing of.
    os.environ.pop('LOCAL_RANK', None)


def test_settings_of_the_config_may_come_in_parts(parsed):
    words = ('--cfg-options', 'a.b=2', 'c=1', '--cfg-options', 'c=[1,2]')
    args = parsed(add_cfg_options, *words)
    assert args.cfg_options == {'a.b': 2, 'c': [1, 2]}
    assert parsed(add_cfg_options).cfg_options is None
    args = parsed(lambda p: add_json(p, 'x'), '--json', 'a/b.json')
    assert args.json.name == 'b.json'


@pytest.mark.parametrize(
    ('words', 'rank'),
    [((), '0'), (('--local_rank', '3'), '3'), (('--local-rank=1',), '1')],
)
def test_local_rank_goes_where_mmengine_looks(
    parsed, monkeypatch, words, rank
):
    args = parsed(add_launcher, '--launcher', 'pytorch', *words)
    assert args.launcher == 'pytorch'
    assert os.environ['LOCAL_RANK'] == rank
    monkeypatch.setenv('LOCAL_RANK', '5')
    # A launcher's own stands.
    parsed(add_launcher)
    assert os.environ['LOCAL_RANK'] == '5'


def test_choices_and_defaults_are_those_of_the_libraries(monkeypatch):
    """They are written down twice, because libraries take seconds."""

    def arguments(command, *words):
        monkeypatch.setattr('sys.argv', ['tool', *words])
        return command.parse_args()

    given = vars(arguments(adapt_teacher, 'config.py'))
    for field in fields(AdaptSettings):
        assert given[field.name] == field.default, field.name
    for choice in CHOICES:
        words = ('config.py', '--stream', choice)
        assert arguments(browse_dataset, *words).stream == choice
    for choice in NORMALIZATIONS:
        words = ('config.py', '--normalization', choice)
        assert arguments(probe_teacher, *words).normalization == choice
    args = arguments(probe_teacher, 'config.py')
    assert args.normalization == STANDARDIZE


def test_help_names_the_protocols(monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['tool', '--help'])
    with pytest.raises(SystemExit):
        prepare_data.parse_args()
    assert ', '.join(PROTOCOLS) in ' '.join(capsys.readouterr().out.split())
