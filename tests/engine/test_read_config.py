"""Variables stand in a config as they are, whatever is in them."""

import os

import pytest
from mmengine.config import Config

from mmkd_custom.engine.config import load_config
from mmkd_custom.engine.read_config import read_config
from mmkd_custom.errors import UserError
from tests.cli import REPOSITORY
from tests.helpers import make_domains

TEXT = """
_base_ = './base.py'
one = '{{$NAME:default}}/images'
two = "{{ $NAME:default }}"
three = f'{one} and {{$NAME:default}}'
seed = {{'$NUMBER:3'}}
here = __import__('os').environ.get('NAME')
"""


@pytest.mark.parametrize(
    'value',
    [
        '/data/plain',
        "/home/ann/Ann's data",
        'a "quoted" one',
        r'C:\temp\new\1',
        'ends in \\',
        'caf\u00e9\nsecond line',
    ],
)
def test_what_is_in_a_variable_is_in_the_config(tmp_path, monkeypatch, value):
    (tmp_path / 'base.py').write_text("base = '{{$NAME:default}}'\n")
    (tmp_path / 'config.py').write_text(TEXT)
    monkeypatch.setenv('NAME', value)
    monkeypatch.setenv('NUMBER', '7')
    config = read_config(tmp_path / 'config.py')
    assert config.base == config.two == config.here == value
    assert config.one == f'{value}/images'
    assert config.three == f'{value}/images and {value}'
    assert config.seed == 7
    assert os.environ['NAME'] == value
    # As a run's snapshot of it.
    config.dump(tmp_path / 'snapshot.py')
    assert Config.fromfile(tmp_path / 'snapshot.py').two == value


def test_without_the_variable_there_is_its_default(tmp_path, monkeypatch):
    (tmp_path / 'base.py').write_text("base = '{{$NAME:default}}'\n")
    (tmp_path / 'config.py').write_text(TEXT)
    monkeypatch.delenv('NAME', raising=False)
    config = read_config(tmp_path / 'config.py')
    assert (config.one, config.seed) == ('default/images', 3)


def test_shipped_configs_and_their_data(tmp_path, monkeypatch):
    root = make_domains(tmp_path / "Ann's \\t data", per_class=1)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo'
    ).items():
        monkeypatch.setenv(name, value)
    path = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'
    config = load_config(path)
    assert config.data_preprocessor.num_classes == 3
    assert config.val_dataloader.dataset.data_root == str(root)
    monkeypatch.setenv('SEED', "it's")
    with pytest.raises(UserError, match='SEED'):
        load_config(path)
