import io
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.datasets import CIFAR10, BaseDataset

from mmkd_custom.datasets.domain_folder import DomainFolder, find_domain
from mmkd_custom.datasets.image_folder import ImageFolder
from mmkd_custom.datasets.two_stream.dataset import (
    CachedKey,
    SampleKey,
    TwoStreamDataset,
)
from mmkd_custom.datasets.two_stream.views import seeded_rng
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
        # The name of its stream, the same for all.
        texts.remove('unlabelled')
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
    where = [dataset.locate(index) for index in range(12, 27)]
    assert {stream for stream, _ in where} == {'unlabelled'}
    order = [position for _, position in where]
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


@pytest.fixture
def pictures(tmp_path, write_image):
    """A folder of 4 images, two of them in class folders of other names."""
    for number, name in enumerate(['a.png', 'b.png', 'dog/c.png', 'x/d.png']):
        write_image(tmp_path / 'made' / name, seed=900 + number)
    return str(tmp_path / 'made')


def test_synthetic_images_have_no_label_of_any_kind(two_domains, pictures):
    made = dict(
        type='mmkd_custom.ImageFolder', data_root=pictures, pipeline=PIPELINE
    )
    parts = domain(two_domains, 'Art'), domain(two_domains, 'Real World')
    dataset = TwoStreamDataset(*parts, synthetic=made, seed=3)
    sizes = dataset.num_labelled, dataset.num_unlabelled, dataset.num_synthetic
    assert sizes == (12, 15, 4) and len(dataset) == 31
    streams = ['labelled'] * 12 + ['unlabelled'] * 15 + ['synthetic'] * 4
    positions = []
    for index, stream in enumerate(streams):
        sample = dataset[SampleKey(index, 2)]['data_samples']
        assert sample.metainfo['stream'] == stream
        assert (sample.sample_idx, sample.view) == (index, 2)
        assert ('gt_label' in sample) == (stream == 'labelled')
        assert ('img_path' in sample) == (stream == 'labelled')
        positions.append(dataset.locate(index)[1])
    assert sorted(positions[27:]) == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        dataset[31]
    # The other streams are what they were without it.
    without = TwoStreamDataset(*parts, seed=3)
    for index in (0, 11, 12, 26):
        assert same(dataset[index], without[index])
    # Any dataset does, whatever its classes; labels it has are not used.
    art = TwoStreamDataset(
        domain(two_domains, 'Art'), synthetic=domain(two_domains, 'Art')
    )
    assert (art.num_unlabelled, art.num_synthetic) == (0, 12)
    assert not art[12]['data_samples'].keys()


def test_synthetic_items_are_the_pipeline_under_the_seed(
    two_domains, pictures
):
    made = ImageFolder(pictures, pipeline=PIPELINE)
    dataset = TwoStreamDataset(domain(two_domains, 'Art'), synthetic=made)
    for index in range(12, 16):
        stream, position = dataset.locate(index)
        assert stream == 'synthetic'
        with seeded_rng(0, index, 5):
            expected = made[position]
        assert same(dataset[SampleKey(index, 5)], expected)


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


def source_files(dataset):
    files = []
    for index in range(dataset.num_labelled, len(dataset)):
        _, position = dataset.locate(index)
        files.append(dataset.unlabelled.get_data_info(position)['img_path'])
    return files


def test_labelled_images_can_be_left_out_of_the_unlabelled(two_domains):
    few = domain(two_domains, 'Real World', labels_per_class=2)
    everything = domain(two_domains, 'Real World')
    both = TwoStreamDataset(few, everything)
    rest = TwoStreamDataset(few, everything, exclude_labelled=True)
    assert (both.num_unlabelled, rest.num_unlabelled) == (15, 9)
    taken = {rest.labelled.get_data_info(i)['img_path'] for i in range(6)}
    assert len(source_files(both)) == 15 and taken <= set(source_files(both))
    assert sorted(source_files(rest)) == sorted(
        set(source_files(both)) - taken
    )
    assert len(rest) == 15
    rest[14]
    # Of another domain there is nothing to leave out.
    art = TwoStreamDataset(
        domain(two_domains, 'Art'), everything, exclude_labelled=True
    )
    assert art.num_unlabelled == 15


def test_options_that_mean_nothing_are_refused(two_domains):
    art = domain(two_domains, 'Art')
    with pytest.raises(UserError, match='exclude_labelled.*no unlabelled'):
        TwoStreamDataset(art, exclude_labelled=True)
    with pytest.raises(UserError, match='share_geometry.*strong_pipeline'):
        TwoStreamDataset(art, share_geometry=False)
    with pytest.raises(UserError, match='synthetic: .* but got list'):
        TwoStreamDataset(art, synthetic=[])


WEAK = [LOAD, dict(type='RandomResizedCrop', scale=16), AUGMENT[1], PACK]
INVERT = dict(type='Invert', prob=1.0)


def test_weak_and_strong_view_share_their_geometry(two_domains):
    dataset = TwoStreamDataset(
        domain(two_domains, 'Art', WEAK),
        domain(two_domains, 'Real World', WEAK),
        strong_pipeline=[*WEAK[:-1], INVERT, PACK],
    )
    for key in (SampleKey(1, 0), SampleKey(1, 3), SampleKey(20, 2)):
        item = dataset[key]
        assert torch.equal(item['strong_inputs'], 255 - item['inputs'])


def test_strong_view_may_draw_on_its_own(two_domains):
    art = domain(two_domains, 'Art', WEAK)
    dataset = TwoStreamDataset(
        art, strong_pipeline=WEAK, share_geometry=False, seed=5
    )
    shared = TwoStreamDataset(art, strong_pipeline=WEAK, seed=5)
    plain = DomainFolder(two_domains, 'Art', pipeline=WEAK)
    for view in range(3):
        item = dataset[SampleKey(4, view)]
        assert not torch.equal(item['strong_inputs'], item['inputs'])
        assert same(item, shared[SampleKey(4, view)])
        with seeded_rng(5, 4, view, 'strong'):
            expected = plain[4]['inputs']
        assert torch.equal(item['strong_inputs'], expected)


class Blacken:
    """A transform that writes into the image it is given."""

    def __call__(self, results):
        results['img'][:] = 0
        return results


def test_one_view_does_not_write_into_another(two_domains):
    dataset = TwoStreamDataset(
        Pixels(pipeline=[Blacken(), PACK], serialize_data=True),
        teacher_pipeline=[PACK],
        strong_pipeline=[Blacken(), PACK],
    )
    item = dataset[3]
    assert not item['inputs'].any() and not item['strong_inputs'].any()
    assert item['teacher_inputs'].any()


def test_a_cached_sample_has_no_teacher_image(two_domains):
    made = TwoStreamDataset(
        domain(two_domains, 'Art'),
        domain(two_domains, 'Real World'),
        seed=3,
        teacher_pipeline=PIPELINE,
        strong_pipeline=PIPELINE,
    )
    for index in (5, 20):
        whole = made[SampleKey(index, 2)]
        assert 'cached' not in whole['data_samples']
        seen = made[CachedKey(index, 2, image=True)]
        assert sorted(seen) == ['data_samples', 'inputs', 'strong_inputs']
        assert same(seen, whole)
        assert torch.equal(seen['strong_inputs'], whole['strong_inputs'])
        assert seen['data_samples'].cached is True


def test_a_cached_sample_without_its_image_opens_no_file(dataset, two_domains):
    whole = dataset[SampleKey(5, 2)]['data_samples']
    for path in Path(two_domains).rglob('*.png'):
        path.unlink()
    with pytest.raises(UserError):
        dataset[SampleKey(5, 2)]
    labelled, unlabelled = dataset.__getitems__(
        [CachedKey(5, 2, image=False), CachedKey(20, 1, image=False)]
    )
    assert list(labelled) == list(unlabelled) == ['data_samples']
    sample = labelled['data_samples']
    assert torch.equal(sample.gt_label, whole.gt_label)
    assert (sample.sample_idx, sample.view, sample.stream) == (
        5,
        2,
        'labelled',
    )
    sample = unlabelled['data_samples']
    assert sample.keys() == []
    assert set(sample.metainfo_keys()) == {
        'sample_idx',
        'view',
        'stream',
        'cached',
    }


def test_soft_labels_of_cached_samples(dataset, monkeypatch):
    score = np.array([0.2, 0.5, 0.3], np.float32)
    monkeypatch.setattr(
        dataset.labelled, 'get_data_info', lambda _: dict(gt_score=score)
    )
    sample = dataset[CachedKey(0, 0, image=False)]['data_samples']
    assert torch.equal(sample.gt_score, torch.from_numpy(score))
    assert 'gt_label' not in sample
