"""Which images of a sample are made, and how their draws go together."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.datasets import CIFAR10, BaseDataset

from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.two_stream import SampleKey, TwoStreamDataset
from mmkd_custom.datasets.two_stream.views import seeded_rng
from mmkd_custom.errors import UserError
from tests.datasets.two_stream.helpers import (
    FLIP,
    JITTER,
    LOAD,
    PACK,
    PIPELINE,
    crop,
    same,
    streams,
)

WEAK = [LOAD, crop(16), FLIP, PACK]


def test_teacher_sees_the_same_crop(two_domains):
    dataset = streams(
        two_domains,
        [*WEAK[:-1], JITTER, PACK],
        pipelines=dict(teacher=WEAK),
    )
    plain = DomainFolder(two_domains, 'Art', pipeline=WEAK)
    jittered = 0
    for view in range(4):
        item = dataset[SampleKey(1, view)]
        teacher = item['views']['teacher']
        with seeded_rng(0, 1, view):
            assert torch.equal(teacher, plain[1]['inputs'])
        # Brightness scales pixels: the same crop stays in proportion.
        left = item['inputs'].double().flatten()
        right = teacher.double().flatten()
        pair = torch.stack([left, right])[:, left < 255]
        assert torch.corrcoef(pair)[0, 1] > 0.99
        jittered += not torch.equal(left, right)
    assert jittered >= 3


def test_a_clean_view_is_a_function_of_the_sample(two_domains):
    class Stamp:
        """Writes the view's number into the image."""

        def __call__(self, results):
            results['img'] = results['img'] // 2 + np.uint8(results['view'])
            return results

    steps = [LOAD, dict(type='Resize', scale=(12, 12)), Stamp(), PACK]
    options = dict(pipelines=dict(teacher=steps), clean=('teacher',))
    dataset, other = (
        streams(two_domains, WEAK, seed=seed, **options) for seed in (0, 1)
    )
    for index in (1, 20):
        first = dataset[SampleKey(index, 0)]
        for item in (dataset[SampleKey(index, 3)], other[SampleKey(index, 1)]):
            assert torch.equal(
                item['views']['teacher'], first['views']['teacher']
            )
            # The student's is free.
            assert not same(item, first)
            assert item['data_samples'].sample_idx == index
        assert dataset[SampleKey(index, 3)]['data_samples'].view == 3


def test_views_share_their_geometry(two_domains):
    invert = dict(type='Invert', prob=1.0)
    dataset = streams(
        two_domains,
        WEAK,
        pipelines=dict(
            strong=[*WEAK[:-1], invert, PACK],
            teacher=[LOAD, crop(24), FLIP, PACK],
        ),
    )
    for key in (SampleKey(1, 0), SampleKey(1, 3), SampleKey(20, 2)):
        item = dataset[key]
        assert torch.equal(item['views']['strong'], 255 - item['inputs'])
        assert item['views']['teacher'].shape == (3, 24, 24)


def test_independent_view_draws_on_its_own(two_domains):
    views = dict(pipelines=dict(strong=WEAK), seed=5)
    dataset = streams(two_domains, WEAK, independent=['strong'], **views)
    shared = streams(two_domains, WEAK, **views)
    plain = DomainFolder(two_domains, 'Art', pipeline=WEAK)
    for view in range(3):
        item = dataset[SampleKey(4, view)]
        assert not torch.equal(item['views']['strong'], item['inputs'])
        assert same(item, shared[SampleKey(4, view)])
        with seeded_rng(5, 4, view, 'strong'):
            expected = plain[4]['inputs']
        assert torch.equal(item['views']['strong'], expected)


@pytest.mark.parametrize(
    'pipelines, images, made',
    [
        (('teacher', 'strong'), None, {'student', 'teacher', 'strong'}),
        (('teacher', 'strong'), ('student', 'strong'), {'student', 'strong'}),
        (('teacher', 'strong'), ('teacher',), {'teacher'}),
        (('teacher', 'strong'), (), set()),
        # The teacher's image is the student's if there is none of its own.
        (('strong',), ('teacher',), {'student'}),
        ((), ('teacher', 'student'), {'student'}),
    ],
)
def test_keys_name_the_images(two_domains, pipelines, images, made):
    dataset = streams(two_domains, pipelines=dict.fromkeys(pipelines, WEAK))
    for index in (5, 20):
        whole = dataset[SampleKey(index, 2)]
        item = dataset[SampleKey(index, 2, images)]
        assert ('inputs' in item) == ('student' in made)
        assert 'inputs' not in item or same(item, whole)
        views = item.get('views', {})
        assert set(views) == made - {'student'}
        assert ('views' in item) == bool(views)
        for name, image in views.items():
            assert torch.equal(image, whole['views'][name])
        sample, about = item['data_samples'], whole['data_samples']
        assert sample.sample_idx == index and sample.view == 2
        assert ('gt_label' in sample) == (index == 5)
        if 'gt_label' in sample:
            assert torch.equal(sample.gt_label, about.gt_label)


def test_without_images_no_file_is_opened(two_domains, monkeypatch):
    dataset = streams(two_domains)
    for path in Path(two_domains).rglob('*.png'):
        path.unlink()
    with pytest.raises(UserError):
        dataset[SampleKey(5, 2)]
    keys = [SampleKey(5, 2, ()), SampleKey(20, 1, ())]
    labelled, unlabelled = dataset.__getitems__(keys)
    assert list(labelled) == list(unlabelled) == ['data_samples']
    assert labelled['data_samples'].stream == 'labelled'
    sample = unlabelled['data_samples']
    assert sample.keys() == []
    assert set(sample.metainfo_keys()) == {'sample_idx', 'view', 'stream'}
    # A soft label is a label.
    score = np.array([0.2, 0.5, 0.3], np.float32)
    monkeypatch.setattr(
        dataset.labelled, 'get_data_info', lambda _: dict(gt_score=score)
    )
    sample = dataset[SampleKey(0, 0, ())]['data_samples']
    assert torch.equal(sample.gt_score, torch.from_numpy(score))
    assert 'gt_label' not in sample


class Pixels(BaseDataset):
    """Images held in memory, as MMPretrain's CIFAR datasets hold them."""

    METAINFO = CIFAR10.METAINFO

    def __init__(self, **kwargs):
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self):
        images = np.random.RandomState(0).randint(
            0, 256, (20, 32, 32, 3), dtype=np.uint8
        )
        return [
            dict(img=image, gt_label=number % 10)
            for number, image in enumerate(images)
        ]


def test_images_in_memory():
    pipeline = [dict(type='RandomCrop', crop_size=32, padding=4), PACK]
    dataset = TwoStreamDataset(
        Pixels(pipeline=pipeline, indices=list(range(10))),
        Pixels(pipeline=pipeline),
        pipelines=dict(teacher=pipeline),
    )
    assert len(dataset) == 30
    item = dataset[SampleKey(12, 1)]
    assert 'gt_label' not in item['data_samples']
    assert torch.equal(item['inputs'], item['views']['teacher'])
    assert dataset[SampleKey(2, 1)]['data_samples'].gt_label.tolist() == [2]


class Blacken:
    """A transform that writes into the image it is given."""

    def __call__(self, results):
        results['img'][:] = 0
        return results


def test_one_view_does_not_write_into_another():
    dataset = TwoStreamDataset(
        Pixels(pipeline=[Blacken(), PACK], serialize_data=True),
        pipelines=dict(teacher=[PACK], strong=[Blacken(), PACK]),
    )
    item = dataset[3]
    assert not item['inputs'].any() and not item['views']['strong'].any()
    assert item['views']['teacher'].any()


def test_image_that_nobody_makes_is_refused(two_domains):
    dataset = streams(two_domains, pipelines=dict(strong=PIPELINE))
    with pytest.raises(UserError) as error:
        dataset[SampleKey(0, 0, ('student', 'weak'))]
    for word in ('images', 'student', 'strong', "'weak'"):
        assert word in str(error.value)


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(pipelines=dict(student=WEAK)), ['pipelines', "'student'"]),
        (dict(pipelines=dict(inputs=WEAK)), ['pipelines', "'inputs'"]),
        (dict(pipelines={'a.b': WEAK}), ['pipelines', "'a.b'"]),
        (dict(pipelines=WEAK), ['pipelines']),
        (dict(pipelines=dict(strong='x')), ['pipelines.strong', "'x'"]),
        (dict(pipelines=dict(strong=['x'])), ['pipelines.strong', "'x'"]),
        (dict(independent=['strong']), ['independent', "'strong'"]),
        (dict(clean=['teacher']), ['clean', "'teacher'"]),
        (
            dict(clean='teacher', pipelines=dict(teacher=WEAK)),
            ['clean', 'list', "'teacher'"],
        ),
        (
            dict(independent=['stron'], pipelines=dict(strong=WEAK)),
            ['independent', "'stron'", "'strong'"],
        ),
    ],
)
def test_options_of_views_that_are_refused(two_domains, options, words):
    with pytest.raises(UserError) as error:
        streams(two_domains, WEAK, **options)
    assert all(word in str(error.value) for word in words)
