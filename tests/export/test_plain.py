"""The config that ships."""

import pytest
from mmengine.config import Config
from mmpretrain.registry import MODELS

from mmkd_custom.export.images import Sight
from mmkd_custom.export.plain import plain_config
from tests.export.runs import PIPELINE, STUDENT


def run_config(**others):
    config = dict(
        model=dict(type='CustomKD', student=STUDENT),
        data_preprocessor=dict(mean=[1.0] * 3, std=[2.0] * 3),
        test_dataloader=dict(dataset=dict(pipeline=PIPELINE)),
    )
    return Config({**config, **others})


@pytest.mark.parametrize(
    'kind', [{}, dict(type='mmkd_custom.DistillDataPreprocessor')]
)
def test_mmpretrain_takes_the_preprocessor(kind):
    given = dict(mean=[1.0] * 3, std=[2.0] * 3, channels_last=True, **kind)
    plain = plain_config(run_config(data_preprocessor=given), ['a'])
    cfg = {'type': 'ClsDataPreprocessor', **plain.data_preprocessor}
    assert MODELS.build(cfg).mean.flatten().tolist() == [1.0] * 3


def test_empty_preprocessor_of_the_model_says_nothing():
    config = run_config()
    config.model.data_preprocessor = None
    assert Sight(config).pixels.mean.tolist() == [1.0] * 3
    assert plain_config(config, ['a']).data_preprocessor.mean == [1.0] * 3


@pytest.mark.parametrize(
    'imports, kept',
    [(['json'], None), ('mmpretrain.models', ['mmpretrain.models'])],
)
def test_imports_of_what_taught_stay_behind(imports, kept):
    config = run_config(custom_imports=dict(imports=imports))
    plain = plain_config(config, ['a'])
    assert plain.get('custom_imports', {}).get('imports') == kept
