"""Learning rates of shipped configs are meant for the batch they make."""

import pytest

from mmkd_custom.engine.config import prepare, read_config
from tests.configs.shipped import BUT_METHODS, ROOT, TRIED


@pytest.mark.parametrize('name', [*BUT_METHODS, *TRIED])
def test_base_batch_size_is_the_batch_of_the_sampler(name):
    config = read_config(ROOT / name)
    assert not config.auto_scale_lr.get('enable', False)
    prepare(config, config_path=name, auto_scale_lr=True)
    assert config.auto_scale_lr.enable is True
    sampler = config.train_dataloader.sampler
    streams = sampler.get('streams', ('labelled', 'unlabelled'))
    assert (
        config.auto_scale_lr.base_batch_size
        == config.train_dataloader.batch_size
        == sum(sampler[stream] for stream in streams)
    )
