"""Pruned cells are a share of those that all runs on cells have labels of."""

import importlib.util

import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.engine.config import read_config
from mmkd_custom.registry import DATASETS
from tests.configs.shipped import ROOT


@pytest.mark.skipif(
    importlib.util.find_spec('elpv_dataset') is None,
    reason='the elpv-dataset package is not installed',
)
def test_a_share_of_the_labelled_cells_keeps_its_label(monkeypatch):
    def streams(name):
        dataset = read_config(ROOT / name).train_dataloader.dataset
        with DefaultScope.overwrite_default_scope('mmkd_custom'):
            train = DATASETS.build(dataset)
        return tuple(
            {part.get_data_info(i)['img_path'] for i in range(len(part))}
            for part in (train.labelled, train.unlabelled)
        )

    whole = streams('soft_target/soft_target_mbv3_elpv.py')
    name = 'pruned/pruned_mbv3_elpv.py'
    monkeypatch.setenv('KEEP', '1')
    assert streams(name) == whole
    monkeypatch.setenv('KEEP', '0.5')
    kept, unlabelled = streams(name)
    assert kept < whole[0] and len(kept) == pytest.approx(
        len(whole[0]) / 2, abs=1
    )
    # Only its label is gone.
    assert unlabelled == whole[1] > whole[0]
