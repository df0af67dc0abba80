import io
import pickle

import numpy as np
import pytest
import torch
from mmpretrain.datasets import CIFAR10, BaseDataset

from mmkd_custom.datasets import (
    DomainFolder,
    SampleKey,
    TwoStreamDataset,
    find_domain,
    seeded_rng,
)
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS

LOAD = dict(type='LoadImageFromFile')
PACK = dict(type='PackInputs')
AUGMENT = [
    dict(type='RandomResizedCrop', scale=8),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]
PIPELINE = [LOAD, *AUGMENT, dict(type='ColorJitter', brightness=0.4), PACK]


def domain(root, name, pipeline=PIPELINE, **options):
    return dict(
        type='mmkd_custom.DomainFolder',
        data_root=root,
        domain=name,
        pipeline=pipeline,
        **options,
    )


@pytest.fixture
def dataset(two_domains):
    return TwoStreamDataset(
        domain(two_domains, 'Art'), domain(two_domains, 'Real World'), seed=3
    )


def same(left, right):
    return torch.equal(left['inputs'], right['inputs'])


def test_layout(dataset):
    assert (dataset.num_labelled, dataset.num_unlabelled) == (12, 15)
    assert len(dataset) == 27
    assert dataset.CLASSES == ('Bike', 'apple', 'cat')
    assert dataset.metainfo['classes'] == dataset.CLASSES
    for index in (-1, 27):
        with pytest.raises(IndexError):
            dataset[index]


def test_labelled_items_have_their_label_and_key(dataset):
    item = dataset[SampleKey(5, 2)]
    sample = item['data_samples']
    assert sample.gt_label.tolist() == [1]
    assert (sample.sample_idx, sample.view) == (5, 2)
    assert sample.img_path.endswith('apple/im 1.png')


def reachable(value, seen=None):
    """Walks everything an object holds."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    yield value
    if isinstance(value, dict):
        children = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set)):
        children = list(value)
    elif hasattr(value, '__dict__'):
        children = [*vars(value).keys(), *vars(value).values()]
    else:
        children = []
    for child in children:
        yield from reachable(child, seen)


def test_no_label_is_in_an_unlabelled_item(dataset):
    for index in range(12, 27):
        item = dataset[index]
        assert set(item) == {'inputs', 'data_samples'}
        assert 'gt_label' not in item['data_samples']
        texts = [value for value in reachable(item) if isinstance(value, str)]
        for name in (*dataset.CLASSES, 'gt_', 'label', 'path', 'Real World'):
            assert not any(name in text for text in texts), (index, name)
        # What a worker sends to the training process.
        sent = io.BytesIO()
        pickle.dump(item['data_samples'], sent)
        for name in (*dataset.CLASSES, 'gt_label'):
            assert name.encode() not in sent.getvalue()
        assert item['data_samples'].sample_idx == index


class Spy:
    """A transform that notes every key it ever sees."""

    def __init__(self):
        self.seen = set()

    def __call__(self, results):
        self.seen |= set(results)
        return results


def test_pipeline_of_the_unlabelled_stream_never_sees_a_label(two_domains):
    spies = Spy(), Spy()
    dataset = TwoStreamDataset(
        domain(two_domains, 'Art', [spies[0], LOAD, PACK]),
        domain(two_domains, 'Real World', [spies[1], LOAD, PACK]),
    )
    dataset[0], dataset[20]
    assert 'gt_label' in spies[0].seen
    assert spies[1].seen == {'img_path', 'sample_idx', 'view'}


def test_changing_a_target_label_changes_nothing(two_domains):
    folder = find_domain(two_domains, 'Real World')
    # Without augmentation the order of the samples is all that can change.
    before = TwoStreamDataset(
        domain(two_domains, 'Art'),
        domain(two_domains, 'Real World', [LOAD, PACK]),
    )
    pixels = sorted(
        before[i]['inputs'].numpy().tobytes() for i in range(12, 27)
    )
    for number in range(3):
        (folder / 'cat' / f'im {number}.png').rename(
            folder / 'Bike' / f'was cat {number}.png'
        )
    after = TwoStreamDataset(
        domain(two_domains, 'Art'),
        domain(two_domains, 'Real World', [LOAD, PACK]),
    )
    assert pixels == sorted(
        after[i]['inputs'].numpy().tobytes() for i in range(12, 27)
    )


def test_items_are_functions_of_seed_index_and_view(dataset, two_domains):
    for index in (3, 20):
        first = dataset[SampleKey(index, 1)]
        np.random.rand(7), torch.rand(7)
        assert same(dataset[SampleKey(index, 1)], first)
        assert not same(dataset[SampleKey(index, 2)], first)
        assert same(dataset[index], dataset[SampleKey(index, 0)])
        other = TwoStreamDataset(
            domain(two_domains, 'Art'),
            domain(two_domains, 'Real World'),
            seed=4,
        )
        assert not same(other[SampleKey(index, 1)], first)


def test_item_is_the_pipeline_under_the_seed(dataset, two_domains):
    plain = DomainFolder(two_domains, 'Art', pipeline=PIPELINE)
    with seeded_rng(3, 2, 6):
        expected = plain[2]
    item = dataset[SampleKey(2, 6)]
    assert torch.equal(item['inputs'], expected['inputs'])
    assert item['data_samples'].gt_label == expected['data_samples'].gt_label


def test_an_unlabelled_index_does_not_tell_the_class(two_domains):
    dataset = TwoStreamDataset(
        domain(two_domains, 'Art'), domain(two_domains, 'Real World')
    )
    order = dataset._order.tolist()
    assert sorted(order) == list(range(dataset.num_unlabelled))
    # Folders list their images by class.
    labels = [dataset.unlabelled.get_data_info(i)['gt_label'] for i in order]
    assert labels != sorted(labels)


def test_teacher_sees_the_same_crop(two_domains):
    teacher = [
        LOAD,
        dict(type='RandomResizedCrop', scale=16),
        AUGMENT[1],
        PACK,
    ]
    student = [
        LOAD,
        dict(type='RandomResizedCrop', scale=16),
        AUGMENT[1],
        dict(type='ColorJitter', brightness=0.4),
        PACK,
    ]
    dataset = TwoStreamDataset(
        domain(two_domains, 'Art', student),
        domain(two_domains, 'Real World', student),
        teacher_pipeline=teacher,
    )
    plain = DomainFolder(two_domains, 'Art', pipeline=teacher)
    jittered = 0
    for view in range(4):
        item = dataset[SampleKey(1, view)]
        assert item['teacher_inputs'].shape == (3, 16, 16)
        with seeded_rng(0, 1, view):
            assert torch.equal(item['teacher_inputs'], plain[1]['inputs'])
        # Brightness scales pixels: the same crop stays in proportion.
        left = item['inputs'].double().flatten()
        right = item['teacher_inputs'].double().flatten()
        unclipped = left < 255
        correlation = torch.corrcoef(
            torch.stack([left[unclipped], right[unclipped]])
        )[0, 1]
        assert correlation > 0.99
        jittered += not torch.equal(left, right)
    assert jittered >= 3
    assert 'teacher_inputs' in dataset[20]


def test_teacher_crop_at_another_size(two_domains):
    def crop(scale):
        return [LOAD, dict(type='RandomResizedCrop', scale=scale), PACK]

    dataset = TwoStreamDataset(
        domain(two_domains, 'Art', crop(8)), teacher_pipeline=crop(24)
    )
    item = dataset[SampleKey(0, 5)]
    assert item['inputs'].shape[-2:] == (8, 8)
    assert item['teacher_inputs'].shape[-2:] == (24, 24)


def test_split_digest_follows_the_labelled_samples(dataset, two_domains):
    def split(**options):
        return TwoStreamDataset(
            domain(two_domains, 'Art', **options)
        ).split_sha256

    assert dataset.split_sha256 == split() and len(split()) == 64
    assert split(labels_per_class=2) == split(labels_per_class=2)
    assert split(labels_per_class=2) != split(labels_per_class=2, seed=1)


def test_builds_from_a_config_and_from_datasets(two_domains):
    built = DATASETS.build(
        dict(
            type='mmkd_custom.TwoStreamDataset',
            labelled=domain(two_domains, 'Art'),
            unlabelled=domain(two_domains, 'Real World'),
        )
    )
    given = TwoStreamDataset(
        DomainFolder(two_domains, 'Art', pipeline=PIPELINE),
        DomainFolder(two_domains, 'Real World', pipeline=PIPELINE),
    )
    assert same(built[SampleKey(20, 3)], given[SampleKey(20, 3)])


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
        teacher_pipeline=pipeline,
    )
    assert len(dataset) == 30
    item = dataset[SampleKey(12, 1)]
    assert 'gt_label' not in item['data_samples']
    assert torch.equal(item['inputs'], item['teacher_inputs'])
    assert dataset[SampleKey(2, 1)]['data_samples'].gt_label.tolist() == [2]


def test_different_classes_are_refused(two_domains, write_image):
    write_image(find_domain(two_domains, 'Real World') / 'dog' / 'x.png')
    art = domain(two_domains, 'Art')
    real = domain(two_domains, 'Real World')
    message = "class 'dog' is in the {} stream only"
    with pytest.raises(UserError, match=message.format('unlabelled')):
        TwoStreamDataset(art, real)
    with pytest.raises(UserError, match=message.format('labelled')):
        TwoStreamDataset(real, art)


def test_source_equal_to_target_is_refused(two_domains):
    real = domain(two_domains, 'Real World')
    with pytest.raises(UserError, match='source = target: .*Real World'):
        TwoStreamDataset(real, domain(two_domains, 'real_world'))
    few = domain(two_domains, 'Real World', labels_per_class=2)
    assert TwoStreamDataset(few, real).num_labelled == 6


def test_labelled_stream_without_labels_is_refused(two_domains):
    unlabelled = DomainFolder(two_domains, 'Art', serialize_data=False)
    for info in unlabelled.data_list:
        del info['gt_label']
    with pytest.raises(UserError, match='gt_label or gt_score are wanted'):
        TwoStreamDataset(unlabelled)


def test_something_else_than_a_dataset_is_refused():
    with pytest.raises(UserError, match='labelled: .* but got list'):
        TwoStreamDataset([1, 2])


def test_pipelines_that_do_not_pack_are_refused(two_domains):
    dataset = TwoStreamDataset(domain(two_domains, 'Art', [LOAD]))
    with pytest.raises(UserError, match='im 0.png: .*PackInputs'):
        dataset[0]
    dropping = TwoStreamDataset(
        domain(two_domains, 'Art', [lambda results: None])
    )
    with pytest.raises(UserError, match='im 0.png: .*returned None'):
        dropping[0]


def test_unreadable_image_is_named(dataset, two_domains):
    broken = find_domain(two_domains, 'Real World') / 'Bike' / 'im 3.png'
    broken.write_bytes(b'no image')
    refused = []
    for index in range(dataset.num_labelled, len(dataset)):
        try:
            dataset[index]
        except UserError as error:
            refused.append(str(error))
    assert len(refused) == 1
    assert 'im 3.png: this image cannot be' in refused[0]


def test_real_images(pacs_root):
    dataset = TwoStreamDataset(
        domain(str(pacs_root), 'art_painting', labels_per_class=10),
        domain(str(pacs_root), 'photo'),
    )
    assert dataset.num_labelled == 70
    item = dataset[SampleKey(dataset.num_labelled + 3, 1)]
    texts = [text for text in reachable(item) if isinstance(text, str)]
    assert not any(name in text for text in texts for name in dataset.CLASSES)


def test_classes_in_another_order_are_refused(two_domains):
    art = DomainFolder(two_domains, 'Art')
    art._metainfo['classes'] = art.CLASSES[::-1]
    with pytest.raises(UserError, match='in the same order'):
        TwoStreamDataset(art, domain(two_domains, 'Real World'))
