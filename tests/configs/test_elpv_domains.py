"""Solar cells of one type teach on those of the other."""

import importlib.util

import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.engine.config import read_config
from mmkd_custom.registry import DATASETS
from tests.cli import REPOSITORY

TASKS = REPOSITORY / 'configs' / '_base_' / 'tasks'


def images(dataset):
    return {
        dataset.get_data_info(index)['img_path']
        for index in range(len(dataset))
    }


@pytest.mark.skipif(
    importlib.util.find_spec('elpv_dataset') is None,
    reason='the elpv-dataset package is not installed',
)
@pytest.mark.parametrize('split', ['test', 'train'])
def test_streams_and_evaluation(monkeypatch, split):
    variables = dict(SOURCE='poly', TARGET='mono', EVAL_SPLIT=split)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = read_config(TASKS / 'elpv_domains_clean192_mbv3.py')
    assert config.task == f'elpv poly->mono, {split} cells'
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        train = DATASETS.build(config.train_dataloader.dataset)
        evaluated = images(DATASETS.build(config.val_dataloader.dataset))
    assert {train.labelled.domain, train.unlabelled.domain} == {'poly', 'mono'}
    assert train.labelled.domain == 'poly'
    # All labels of the source; the target's cells are tested on unseen,
    # unless that is asked for.
    assert train.labelled.subset_indices is None
    unlabelled = images(train.unlabelled)
    assert not images(train.labelled) & (unlabelled | evaluated)
    if split == 'train':
        assert evaluated == unlabelled
    else:
        assert evaluated and not evaluated & unlabelled
