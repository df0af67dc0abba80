import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkd_custom.datasets.subset import (
    digest,
    label_subset,
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
    np.random.seed(4)
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


def test_seeds_differ():
    labels = [0] * 100
    draws = {
        digest(stratified_subset(labels, fraction=0.1, seed=seed))
        for seed in range(5)
    }
    assert len(draws) == 5


def test_complement_is_the_rest():
    labels = [0, 1] * 10
    options = dict(labels_per_class=3, seed=2)
    chosen = label_subset(labels, **options)
    rest = label_subset(labels, complement=True, **options)
    assert sorted([*chosen, *rest]) == list(range(20))
    assert len(chosen) == 6


def test_no_subset():
    assert label_subset([0, 1]) is None


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(fraction=0.5, labels_per_class=2), 'exactly one'),
        (dict(fraction=0), r'fraction: .* \(0, 1\]'),
        (dict(fraction=1.5), 'got 1.5'),
        (dict(fraction=float('nan')), 'got nan'),
        (dict(fraction='half'), "got 'half'"),
        (dict(labels_per_class=0), 'labels_per_class: .* got 0'),
        (dict(labels_per_class=1.5), 'got 1.5'),
        (dict(labels_per_class=3), "class 'dog' holds 2 images, but 3"),
        (dict(complement=True), 'complement=True'),
        (dict(fraction=1.0, complement=True), 'leaves none'),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(UserError, match=message):
        label_subset([0, 0, 0, 1, 1], classes=('cat', 'dog'), **options)


class Listed:
    """The least that counts as a dataset."""

    def __init__(self, infos, data_root=None):
        self.infos = infos
        self.data_root = data_root

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, index):
        return self.infos[index]


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


@pytest.mark.parametrize('seed', [None, -1, 'x', 1.0, True, 2**32])
def test_a_seed_that_draws_nothing_again_is_refused(seed):
    with pytest.raises(UserError, match=f'seed: .*got {seed!r}'):
        stratified_subset([0, 0, 1, 1], labels_per_class=1, seed=seed)
