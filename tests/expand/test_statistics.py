"""The short spelling of BatchNorm statistics, in every config."""

import pytest
from mmengine.config import Config

from mmkd_custom.engine import BatchNormStatisticsHook
from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError
from mmkd_custom.expand.statistics import set_statistics
from mmkd_custom.registry import HOOKS
from tests.cli import REPOSITORY
from tests.helpers import make_domains

PLAIN = 'configs/labelled_only/labelled_only_mbv3_domain_folder.py'


@pytest.mark.parametrize(
    ('which', 'stream'),
    [('target', 'unlabelled'), ('source', 'labelled'), ('all', 'all')],
)
def test_statistics_are_a_hook(which, stream):
    own = dict(type='BatchNormStatisticsHook', stream='all', batches=1)
    config = Config(
        dict(bn_statistics=which, custom_hooks=[own, dict(type='StageHook')])
    )
    set_statistics(config)
    assert 'bn_statistics' not in config
    first, second = config.custom_hooks
    assert second == dict(type='StageHook')
    assert HOOKS.build(first).stream == stream


def test_it_is_an_option_of_every_run(tmp_path, monkeypatch):
    root = make_domains(tmp_path, per_class=1)
    names = dict(DATA_ROOT=str(root), SOURCE='art', TARGET='photo')
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    usual = load_config(REPOSITORY / PLAIN).custom_hooks
    config = load_config(REPOSITORY / PLAIN, dict(bn_statistics='target'))
    assert config.custom_hooks[1:] == usual
    assert isinstance(
        HOOKS.build(config.custom_hooks[0]), BatchNormStatisticsHook
    )
    with pytest.raises(UserError, match='bn_statistics.*photo'):
        load_config(REPOSITORY / PLAIN, dict(bn_statistics='photo'))
