"""Samples of all streams: what each says, and what it must not say."""

import io
import pickle
import random

import numpy as np
import pytest
import torch

from mmkd_custom.datasets import DomainFolder, find_domain
from mmkd_custom.datasets.image_folder import ImageFolder
from mmkd_custom.datasets.two_stream import SampleKey, TwoStreamDataset
from mmkd_custom.datasets.two_stream.views import seeded_rng
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS
from tests.datasets.two_stream.helpers import (
    LOAD,
    PACK,
    PIPELINE,
    domain,
    same,
    streams,
)


@pytest.fixture
def dataset(two_domains):
    return streams(two_domains, seed=3)


@pytest.fixture
def pictures(tmp_path, write_image):
    """A folder of 4 images, two of them in class folders of other names."""
    for number, name in enumerate(['a.png', 'b.png', 'dog/c.png', 'x/d.png']):
        write_image(tmp_path / 'made' / name, seed=900 + number)
    return str(tmp_path / 'made')


def test_layout(dataset):
    assert (dataset.num_labelled, dataset.num_unlabelled) == (12, 15)
    assert len(dataset) == 27
    assert dataset.CLASSES == ('Bike', 'apple', 'cat')
    assert dataset.metainfo['classes'] == dataset.CLASSES
    for index in (-1, 27):
        with pytest.raises(IndexError):
            dataset[index]
    sample = dataset[SampleKey(5, 2)]['data_samples']
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


def check_unlabelled(dataset, index):
    item = dataset[index]
    assert set(item) == {'inputs', 'data_samples'}
    texts = [value for value in reachable(item) if isinstance(value, str)]
    # The name of its stream, the same for all.
    texts.remove('unlabelled')
    # What a worker sends to the training process.
    sent = io.BytesIO()
    pickle.dump(item['data_samples'], sent)
    for name in (*dataset.CLASSES, 'gt_', 'label', 'path', 'Real World'):
        assert not any(name in text for text in texts), (index, name)
    for name in (*dataset.CLASSES, 'gt_label'):
        assert name.encode() not in sent.getvalue()
    assert item['data_samples'].sample_idx == index


def test_no_label_is_in_an_unlabelled_item(dataset):
    for index in range(12, 27):
        check_unlabelled(dataset, index)


def test_real_images(pacs_root):
    dataset = TwoStreamDataset(
        domain(str(pacs_root), 'art_painting', labels_per_class=10),
        domain(str(pacs_root), 'photo'),
    )
    assert dataset.num_labelled == 70
    check_unlabelled(dataset, dataset.num_labelled + 3)


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


def test_target_labels_change_nothing(two_domains):
    folder = find_domain(two_domains, 'Real World')

    def pixels():
        # Without augmentation the order of samples is all that can change.
        dataset = streams(two_domains, [LOAD, PACK])
        items = (dataset[i]['inputs'] for i in range(12, 27))
        return sorted(inputs.numpy().tobytes() for inputs in items)

    before = pixels()
    for number in range(3):
        (folder / 'cat' / f'im {number}.png').rename(
            folder / 'Bike' / f'was cat {number}.png'
        )
    assert pixels() == before


def test_unlabelled_index_does_not_tell_the_class(dataset):
    where = [dataset.locate(index) for index in range(12, 27)]
    assert {stream for stream, _ in where} == {'unlabelled'}
    order = [position for _, position in where]
    assert sorted(order) == list(range(dataset.num_unlabelled))
    # Folders list their images by class.
    labels = [dataset.unlabelled.get_data_info(i)['gt_label'] for i in order]
    assert labels != sorted(labels)


def test_items_are_functions_of_seed_index_and_view(dataset, two_domains):
    other = streams(two_domains, seed=4)
    for index in (3, 20):
        first = dataset[SampleKey(index, 1)]
        np.random.rand(7), torch.rand(7)
        assert same(dataset[SampleKey(index, 1)], first)
        assert not same(dataset[SampleKey(index, 2)], first)
        assert same(dataset[index], dataset[SampleKey(index, 0)])
        assert not same(other[SampleKey(index, 1)], first)


def test_items_are_the_pipeline_under_the_seed(two_domains, pictures):
    made = ImageFolder(pictures, pipeline=PIPELINE)
    dataset = streams(two_domains, seed=3, synthetic=made)
    plain = dict(
        labelled=DomainFolder(two_domains, 'Art', pipeline=PIPELINE),
        unlabelled=DomainFolder(two_domains, 'Real World', pipeline=PIPELINE),
        synthetic=made,
    )
    for index in (2, 20, 28):
        stream, position = dataset.locate(index)
        with seeded_rng(3, index, 6):
            expected = plain[stream][position]
        assert same(dataset[SampleKey(index, 6)], expected)


def test_synthetic_images_have_no_label_of_any_kind(two_domains, pictures):
    made = dict(
        type='mmkd_custom.ImageFolder', data_root=pictures, pipeline=PIPELINE
    )
    dataset = streams(two_domains, synthetic=made, seed=3)
    sizes = dataset.num_labelled, dataset.num_unlabelled, dataset.num_synthetic
    assert sizes == (12, 15, 4) and len(dataset) == 31
    names = ['labelled'] * 12 + ['unlabelled'] * 15 + ['synthetic'] * 4
    for index, stream in enumerate(names):
        sample = dataset[SampleKey(index, 2)]['data_samples']
        assert sample.metainfo['stream'] == stream
        assert (sample.sample_idx, sample.view) == (index, 2)
        assert ('gt_label' in sample) == (stream == 'labelled')
        assert ('img_path' in sample) == (stream == 'labelled')
    positions = [dataset.locate(index)[1] for index in range(27, 31)]
    assert sorted(positions) == [0, 1, 2, 3]
    # The other streams are what they were without it.
    without = streams(two_domains, seed=3)
    for index in (0, 11, 12, 26):
        assert same(dataset[index], without[index])
    # Any dataset does, whatever its classes; labels it has are not used.
    art = TwoStreamDataset(
        domain(two_domains, 'Art'), synthetic=domain(two_domains, 'Art')
    )
    assert (art.num_unlabelled, art.num_synthetic) == (0, 12)
    assert not art[12]['data_samples'].keys()


def test_a_batch_at_once_is_its_items_and_leaves_no_trace(dataset):
    keys = [SampleKey(3, 1), SampleKey(20, 2), SampleKey(3, 1)]
    expected = [dataset[key] for key in keys]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist()
    torch_state = torch.get_rng_state()
    found = dataset.__getitems__(keys)
    assert all(same(a, b) for a, b in zip(found, expected))
    assert states == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(torch.get_rng_state(), torch_state)
    with pytest.raises(IndexError):
        dataset.__getitems__([SampleKey(99, 0)])
    assert random.getstate() == states[0]


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


def test_broken_images_and_pipelines_name_the_file(dataset, two_domains):
    broken = find_domain(two_domains, 'Real World') / 'Bike' / 'im 3.png'
    broken.write_bytes(b'no image')
    refused = []
    for index in range(dataset.num_labelled, len(dataset)):
        try:
            dataset[index]
        except UserError as error:
            refused.append(str(error))
    assert len(refused) == 1 and 'im 3.png' in refused[0]
    for steps in ([LOAD], [lambda results: None]):
        unpacked = TwoStreamDataset(domain(two_domains, 'Art', steps))
        with pytest.raises(UserError, match=r'im 0\.png'):
            unpacked[0]
