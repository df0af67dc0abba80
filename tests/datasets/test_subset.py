import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkd_custom.datasets.subset import (
    SPOT_CHECKS,
    digest,
    label_subset,
    samples_digest,
    split_digest,
    stratified_subset,
)
from mmkd_custom.errors import UserError


def test_digest_is_that_of_little_endian_int64():
    indices = [0, 3, 70000, 2**40]
    packed = struct.pack('<4q', *indices)
    assert digest(indices) == hashlib.sha256(packed).hexdigest()
    assert digest(np.array(indices, dtype='>i8')) == digest(indices)


def test_draw_is_pinned():
    # 4 of 500 a class, as in CIFAR-100 with 400 labels.
    labels = np.tile(np.arange(100), 500)
    chosen = stratified_subset(labels, labels_per_class=4, seed=0)
    assert chosen.dtype == np.int64 and len(chosen) == 400
    assert digest(chosen) == (
        '04057ab0246f3310317a1688e5f3772a5bbf852d73432e49840ac02c3d6db9a5'
    )


def test_draw_leaves_the_global_generator_alone():
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    first = stratified_subset([0, 0, 1, 1], labels_per_class=1, seed=5)
    assert np.random.rand() == expected
    again = stratified_subset([0, 0, 1, 1], labels_per_class=1, seed=5)
    assert first.tolist() == again.tolist()


@settings(max_examples=50, deadline=None)
@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=80),
    fraction=st.floats(0.01, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_fraction_keeps_its_share_of_every_class(labels, fraction, seed):
    chosen = stratified_subset(labels, fraction=fraction, seed=seed)
    assert sorted(set(chosen.tolist())) == chosen.tolist()
    kept = np.asarray(labels)[chosen]
    for label in set(labels):
        share = labels.count(label) * fraction
        count = int((kept == label).sum())
        assert count >= 1 and abs(count - max(1, share)) <= 0.5 + 1e-9


def test_complement_is_the_rest_and_no_subset_is_none():
    labels = [0, 1] * 10
    options = dict(labels_per_class=3, seed=2)
    chosen = label_subset(labels, **options)
    rest = label_subset(labels, complement=True, **options)
    assert sorted([*chosen, *rest]) == list(range(20))
    assert len(chosen) == 6
    assert label_subset([0, 1]) is None


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(fraction=0.5, labels_per_class=2), 'fraction and labels_per_c'),
        (dict(fraction=0), 'fraction: .*0'),
        (dict(fraction=1.5), 'fraction: .*1.5'),
        (dict(fraction=float('nan')), 'fraction: .*nan'),
        (dict(fraction='half'), "fraction: .*'half'"),
        (dict(labels_per_class=0), 'labels_per_class: .*0'),
        (dict(labels_per_class=1.5), 'labels_per_class: .*1.5'),
        (dict(labels_per_class=3), "labels_per_class: .*'dog'.* 2 .* 3"),
        (dict(complement=True), 'complement=True'),
        (dict(fraction=1.0, complement=True), 'complement=True'),
        *(
            (dict(fraction=1.0, seed=seed), f'seed: .*{seed!r}')
            for seed in (None, -1, 'x', 1.0, True, 2**32)
        ),
    ],
)
def test_options_refused(options, named):
    with pytest.raises(UserError, match=named):
        label_subset([0, 0, 0, 1, 1], classes=('cat', 'dog'), **options)


class Listed:
    """The least that counts as a dataset: of image files, or of pixels."""

    def __init__(self, infos, data_root=None):
        self.infos, self.data_root = infos, data_root

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, index):
        return dict(self.infos[index])


def test_split_digest_depends_on_samples_and_labels_only():
    def listed(root, name='a/x.png', label=0):
        return split_digest(
            Listed([dict(img_path=f'{root}/{name}', gt_label=label)], root)
        )

    assert listed('/here') == listed('/there/else')
    assert listed('/here') == hashlib.sha256(b'a/x.png\t0\n').hexdigest()
    assert listed('/here', name='a/y.png') != listed('/here')
    assert listed('/here', label=1) != listed('/here')


def test_split_digest_of_pixels():
    black = np.zeros((2, 2, 3), np.uint8)
    digests = {
        split_digest(Listed([dict(img=image, gt_label=0)]))
        for image in (black, black + 1, black.copy())
    }
    assert len(digests) == 2


@pytest.fixture
def files(tmp_path):
    def make(folder='data', count=100, change=None):
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        infos = []
        for number in range(count):
            path = root / f'{number}.jpg'
            path.write_bytes(b'%d' % (-1 if number == change else number))
            infos.append(dict(img_path=str(path), gt_label=number % 3))
        return Listed(infos, str(root))

    return make


def of(*streams):
    return samples_digest(
        (name, dataset, np.asarray(positions))
        for name, dataset, positions in streams
    )


def test_samples_digest_is_of_which_images_in_which_order(files):
    data, every = files(), range(100)
    known = of(('labelled', data, every))
    assert of(('labelled', files('elsewhere'), every)) == known
    others = [
        of(('unlabelled', data, every)),
        of(('labelled', data, range(99))),
        of(('labelled', data, [1, 0, *range(2, 100)])),
        of(('labelled', data, range(50)), ('x', data, range(50, 100))),
        of(('labelled', Listed([]), [])),
        of(),
    ]
    assert len({known, *others}) == 7
    # Labels do not count.
    for info in data.infos:
        info['gt_label'] = 7
    assert of(('labelled', data, every)) == known


def test_samples_digest_notices_images_made_anew(files):
    known = of(('labelled', files(), range(100)))
    noticed = [
        number
        for number in range(100)
        if of(('labelled', files(change=number), range(100))) != known
    ]
    # Not all are read.
    assert len(noticed) == SPOT_CHECKS < 100
    assert {0, 99} <= set(noticed)


def test_samples_digest_of_pixels_and_of_no_root(files):
    data = Listed([dict(img=np.full((2, 2), n)) for n in range(3)])
    known = of(('labelled', data, range(3)))
    data.infos[1]['img'][0, 0] = 9
    assert of(('labelled', data, range(3))) != known
    first, second = files('a', 3), files('b', 3)
    first.data_root = second.data_root = ''
    assert of(('x', first, range(3))) != of(('x', second, range(3)))
