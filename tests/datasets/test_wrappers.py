"""MMEngine's datasets around datasets, in either stream."""

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.datasets.two_stream import SampleKey
from mmkd_custom.datasets.two_stream.dataset import TwoStreamDataset
from mmkd_custom.datasets.wrappers import (
    innermost,
    leaves,
    pipeline_of,
    with_pipeline,
)
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS

LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackInputs')
INVERT = dict(type='Invert', prob=1.0)


@pytest.fixture(autouse=True)
def scope():
    """As a run has it: MMEngine's datasets build what is inside by it."""
    DefaultScope.get_instance('test', scope_name='mmkd_custom')


def domain(root, name, *steps, **options):
    return dict(
        type='mmkd_custom.DomainFolder',
        data_root=root,
        domain=name,
        pipeline=[LOAD, *steps, PACK],
        **options,
    )


def wrap(kind, inner):
    return {
        'concat': dict(type='ConcatDataset', datasets=[inner]),
        'repeat': dict(type='RepeatDataset', dataset=inner, times=3),
        'balanced': dict(
            type='ClassBalancedDataset', dataset=inner, oversample_thr=0.9
        ),
        'fold': dict(
            type='mmpretrain.KFoldDataset', dataset=inner, num_splits=3, fold=1
        ),
        'fold to test': dict(
            type='mmpretrain.KFoldDataset',
            dataset=inner,
            num_splits=3,
            seed=4,
            test_mode=True,
        ),
    }[kind]


KINDS = ('concat', 'repeat', 'balanced', 'fold', 'fold to test')


@pytest.mark.parametrize('kind', KINDS)
def test_the_innermost_dataset_holds_the_sample(two_domains, kind):
    dataset = DATASETS.build(wrap(kind, domain(two_domains, 'Art')))
    assert len(dataset) > 3
    for index in range(len(dataset)):
        inner, place = innermost(dataset, index)
        assert type(inner).__name__ == 'DomainFolder'
        expected = dataset.get_data_info(index)
        assert inner.get_data_info(place) == expected
    assert leaves(dataset) == [innermost(dataset, 0)[0]]


@pytest.mark.parametrize('kind', KINDS)
def test_either_stream(two_domains, kind):
    art = domain(two_domains, 'Art')
    real = domain(two_domains, 'Real World')
    plain = TwoStreamDataset(art, real)
    dataset = TwoStreamDataset(wrap(kind, art), real)
    sizes = dict(concat=12, repeat=36, balanced=24, fold=8)
    assert dataset.num_labelled == sizes.get(kind, 4)
    assert dataset.CLASSES == plain.CLASSES
    for index in range(dataset.num_labelled):
        sample = dataset[SampleKey(index, 1)]['data_samples']
        wanted = dataset.labelled.get_data_info(index)
        assert sample.img_path == wanted['img_path']
        assert sample.gt_label.item() == wanted['gt_label']
    if kind == 'balanced':
        with pytest.raises(UserError, match='unlabelled: .*ClassBalanced'):
            TwoStreamDataset(art, wrap(kind, real))
        with pytest.raises(UserError, match='synthetic: .*ClassBalanced'):
            TwoStreamDataset(art, synthetic=wrap('concat', wrap(kind, real)))
        return
    dataset = TwoStreamDataset(art, wrap(kind, real))
    sizes = dict(concat=15, repeat=45, fold=10)
    assert dataset.num_unlabelled == sizes.get(kind, 5)
    for index in range(12, len(dataset)):
        sample = dataset[index]['data_samples']
        assert 'gt_label' not in sample and 'img_path' not in sample


def test_each_inner_dataset_has_its_pipeline(two_domains):
    both = dict(
        type='ConcatDataset',
        datasets=[
            domain(two_domains, 'Art'),
            wrap('repeat', domain(two_domains, 'Real World', INVERT)),
        ],
    )
    dataset = TwoStreamDataset(both)
    plain = TwoStreamDataset(domain(two_domains, 'Art,Real World'))
    assert len(dataset) == 12 + 45
    for index in range(27):
        seen = dataset[index]['inputs'], plain[index]['inputs']
        own = seen[1] if index < 12 else 255 - seen[1]
        assert np.array_equal(seen[0], own)
    # What tells runs and caches apart knows the inner root as well.
    assert dataset.split_sha256 != plain.split_sha256
    same = TwoStreamDataset(
        wrap('concat', domain(two_domains, 'Art,Real World'))
    )
    assert same.split_sha256 == plain.split_sha256
    assert same.samples_sha256() == plain.samples_sha256()


def test_source_and_target_inside_others_are_told(two_domains):
    art, real = (domain(two_domains, n) for n in ('Art', 'Real World'))
    both = dict(type='ConcatDataset', datasets=[art, real])
    with pytest.raises(UserError, match='source = target'):
        TwoStreamDataset(both, wrap('repeat', real))
    with pytest.raises(UserError, match='source = target'):
        TwoStreamDataset(both, wrap('fold', real))
    # A fold is labelled, and all are not: the semi-supervised setting.
    fold = wrap('fold', real)
    assert TwoStreamDataset(fold, real).num_unlabelled == 15
    rest = TwoStreamDataset(fold, wrap('concat', real), exclude_labelled=True)
    assert rest.num_unlabelled == 5


def test_what_holds_no_dataset_is_refused(two_domains):
    class Holder:
        def __init__(self, dataset):
            self.dataset = dataset

    with pytest.raises(UserError, match='labelled: .* Holder'):
        TwoStreamDataset(Holder(DATASETS.build(domain(two_domains, 'Art'))))
    for label in ([0, 2], dict(kind=1)):
        dataset = DATASETS.build(domain(two_domains, 'Art'))
        dataset.get_data_info = lambda _, label=label: dict(gt_label=label)
        with pytest.raises(UserError, match='one class each'):
            TwoStreamDataset(dataset)


def test_grey_images_pass(two_domains):
    load = dict(LOAD, color_type='grayscale')
    pipeline = [load, dict(type='RandomResizedCrop', scale=32), PACK]
    dataset = TwoStreamDataset(
        dict(domain(two_domains, 'Art'), pipeline=pipeline),
        dict(domain(two_domains, 'Real World'), pipeline=pipeline),
        pipelines=dict(teacher=[LOAD, *pipeline[1:]]),
    )
    for index in (0, 20):
        item = dataset[index]
        assert item['inputs'].shape == (1, 32, 32)
        assert item['views']['teacher'].shape == (3, 32, 32)


def test_pipelines_of_configs():
    inner = dict(type='X', pipeline=['a'])
    config = dict(
        type='ConcatDataset',
        datasets=[dict(type='RepeatDataset', dataset=inner), inner],
    )
    assert pipeline_of(config) == ['a'] and pipeline_of(inner) == ['a']
    assert pipeline_of(dict(type='X')) is None and pipeline_of({}) is None
    other = with_pipeline(config, [])
    assert other['datasets'][0]['dataset'] == dict(type='X', pipeline=[])
    assert other['datasets'][1]['pipeline'] == []
    assert inner['pipeline'] == ['a']
