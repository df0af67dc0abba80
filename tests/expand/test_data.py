"""Streams around any dataset that MMPretrain has."""

import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.engine.config_data import config_scope
from mmkd_custom.expand import expand
from mmkd_custom.registry import DATASETS
from tests.expand.configs import folder, student_alone

WRAPPERS = {
    'repeat': lambda one: dict(type='RepeatDataset', times=2, dataset=one),
    'balanced': lambda one: dict(
        type='ClassBalancedDataset', oversample_thr=0.9, dataset=one
    ),
    'concat': lambda one: dict(type='ConcatDataset', datasets=[one, one]),
    'fold': lambda one: dict(
        type='KFoldDataset', dataset=one, num_splits=3, seed=0
    ),
    'both': lambda one: dict(
        type='RepeatDataset', times=2, dataset=WRAPPERS['balanced'](one)
    ),
}


def build(root, unlabelled, labelled=None):
    config = student_alone(root)
    config.distill.unlabelled = unlabelled
    if labelled is not None:
        config.train_dataloader.dataset = labelled
    config = expand(config)
    with config_scope(config):
        return DATASETS.build(config.train_dataloader.dataset), config


@pytest.mark.parametrize('unlabelled', ['labelled', 'folder'])
@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_wrapped_datasets(root, wrapper, unlabelled):
    given = WRAPPERS[wrapper](folder(root, 'art'))
    where = unlabelled if unlabelled == 'labelled' else str(root / 'photo')
    dataset, _ = build(root, where, given)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        alone = DATASETS.build(given)
    assert dataset.num_labelled == len(alone)
    assert 'gt_label' in dataset[0]['data_samples']
    last = dataset[len(dataset) - 1]
    assert 'gt_label' not in last['data_samples']
    assert last['inputs'].shape[1:] == (32, 32)


def test_no_second_stream(root):
    dataset, config = build(root, None)
    assert dataset.unlabelled is None
    assert config.train_dataloader.batch_size == 2
    assert config.train_dataloader.sampler.unlabelled == 0


def test_an_unlabelled_dataset(root):
    given = folder(root, 'photo')
    del given['pipeline']
    dataset, config = build(root, given)
    assert dataset.num_unlabelled == 9
    # What it lacks it takes from the labelled one.
    stream = config.train_dataloader.dataset
    assert stream.unlabelled.pipeline == stream.labelled.pipeline


def test_how_the_config_draws(root):
    config = student_alone(
        root,
        train_dataloader__drop_last=True,
        train_dataloader__sampler=dict(shuffle=False),
    )
    loader = expand(config).train_dataloader
    assert loader.sampler.drop_last is True and 'drop_last' not in loader
    assert loader.sampler.shuffle is False


@pytest.mark.parametrize(
    'steps, size',
    [
        (
            [
                dict(type='Resize', scale=40),
                dict(type='RandomCrop', crop_size=36),
            ],
            36,
        ),
        ([dict(type='EfficientNetRandomCrop', scale=48)], 48),
        ([dict(type='Resize', scale=(40, 40))], 40),
        ([dict(type='RandomFlip')], 224),
    ],
)
def test_input_size(root, steps, size):
    config = student_alone(root)
    config.train_dataloader.dataset.pipeline[1:3] = steps
    assert expand(config).model.input_size == size
