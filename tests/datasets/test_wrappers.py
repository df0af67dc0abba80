"""MMEngine's datasets around datasets, in either stream."""

import numpy as np
import pytest
from mmengine.registry import DefaultScope

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
    fold = dict(type='mmpretrain.KFoldDataset', dataset=inner, num_splits=3)
    return {
        'concat': dict(type='ConcatDataset', datasets=[inner]),
        'repeat': dict(type='RepeatDataset', dataset=inner, times=3),
        'balanced': dict(
            type='ClassBalancedDataset', dataset=inner, oversample_thr=0.9
        ),
        'fold': dict(fold, fold=1),
        'fold to test': dict(fold, seed=4, test_mode=True),
    }[kind]


#: Of 12 samples in 'Art' and 15 in 'Real World', how many are left.
KINDS = [
    ('concat', 12, 15),
    ('repeat', 36, 45),
    ('balanced', 24, None),
    ('fold', 8, 10),
    ('fold to test', 4, 5),
]


def test_subsets_share_no_parts(two_domains):
    dataset = DATASETS.build(domain(two_domains, 'Art'))
    first, second = dataset.get_subset([0]), dataset.get_subset([1])
    # MMEngine gives both the copy it made first, found by its address.
    assert first.pipeline is not second.pipeline
    assert second.pipeline is not dataset.pipeline


@pytest.mark.parametrize('kind, labelled, unlabelled', KINDS)
def test_either_stream(two_domains, kind, labelled, unlabelled):
    art = domain(two_domains, 'Art')
    real = domain(two_domains, 'Real World')
    dataset = DATASETS.build(wrap(kind, art))
    assert len(dataset) == labelled
    assert leaves(dataset) == [innermost(dataset, 0)[0]]
    joined = TwoStreamDataset(wrap(kind, art), real)
    assert joined.num_labelled == labelled
    for index in range(labelled):
        inner, place = innermost(dataset, index)
        expected = dataset.get_data_info(index)
        assert inner.get_data_info(place) == expected
        sample = joined[index]['data_samples']
        assert sample.img_path == expected['img_path']
        assert sample.gt_label.item() == expected['gt_label']
    if unlabelled is None:
        with pytest.raises(UserError, match='unlabelled: .*ClassBalanced'):
            TwoStreamDataset(art, wrap(kind, real))
        with pytest.raises(UserError, match='synthetic: .*ClassBalanced'):
            TwoStreamDataset(art, synthetic=wrap('concat', wrap(kind, real)))
        return
    joined = TwoStreamDataset(art, wrap(kind, real))
    assert joined.num_unlabelled == unlabelled
    for index in range(12, len(joined)):
        sample = joined[index]['data_samples']
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
    for kind in ('repeat', 'fold'):
        with pytest.raises(UserError, match='Real World'):
            TwoStreamDataset(both, wrap(kind, real))
    # A fold is labelled, and all are not: the semi-supervised setting.
    fold = wrap('fold', real)
    assert TwoStreamDataset(fold, real).num_unlabelled == 15
    rest = TwoStreamDataset(fold, wrap('concat', real), exclude_labelled=True)
    assert rest.num_unlabelled == 5


def test_what_holds_no_dataset_or_no_class_is_refused(two_domains):
    class Holder:
        def __init__(self, dataset):
            self.dataset = dataset

    config = domain(two_domains, 'Art')
    with pytest.raises(UserError, match='labelled: .*Holder'):
        TwoStreamDataset(Holder(DATASETS.build(config)))
    for label in ([0, 2], dict(kind=1)):
        dataset = DATASETS.build(config)
        dataset.get_data_info = lambda _, label=label: dict(gt_label=label)
        with pytest.raises(UserError, match='labelled'):
            TwoStreamDataset(dataset)


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
