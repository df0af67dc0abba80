"""What every dataset of labelled images does with its options."""

import numpy as np
import pytest

from mmkd_custom.datasets.base import check_choice
from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.subset import digest
from mmkd_custom.errors import UserError

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@pytest.mark.parametrize(
    'options, count',
    [
        (dict(labels_per_class=2), 2),
        (dict(fraction=0.6), 3),
        (dict(fraction=0.01), 1),
        (dict(fraction=1.0), 5),
        (dict(labels_per_class=2, complement=True), 3),
    ],
)
def test_subset_is_drawn_per_class(two_domains, rows, options, count):
    dataset = DomainFolder(two_domains, 'Real World', **options)
    assert np.bincount(dataset.get_gt_labels()).tolist() == [count] * 3
    everything = rows(DomainFolder(two_domains, 'Real World'))
    assert rows(dataset) == [everything[i] for i in dataset.subset_indices]


def test_subset_and_complement_partition(two_domains, rows, log_lines):
    """Of several domains together; the digest of the draw is logged."""
    options = dict(labels_per_class=7, seed=3)
    kept = DomainFolder(two_domains, 'Art,Real World', **options)
    assert digest(kept.subset_indices) in log_lines[-1]
    assert np.bincount(kept.get_gt_labels()).tolist() == [7] * 3
    rest = DomainFolder(
        two_domains, 'Art,Real World', complement=True, **options
    )
    whole = DomainFolder(two_domains, 'Art,Real World')
    assert sorted(rows(kept) + rows(rest)) == sorted(rows(whole))
    assert whole.subset_indices is None and kept.origin == whole.origin
    options['seed'] = 4
    other = DomainFolder(two_domains, 'Art,Real World', **options)
    assert digest(other.subset_indices) != digest(kept.subset_indices)


def test_unreadable_image_is_named(two_domains, rows):
    dataset = DomainFolder(two_domains, 'Art', pipeline=PIPELINE)
    with open(dataset.get_data_info(2)['img_path'], 'wb') as file:
        file.write(b'\xff\xd8\xff\xe0')
    assert dataset[1]['inputs'].shape == (3, 16, 20)
    with pytest.raises(UserError, match='im 2.png: '):
        dataset[2]


def test_choices():
    check_choice('split', 'train', ('train', 'test'))
    with pytest.raises(UserError, match="split: .*'test'.*'tset'.*'test'"):
        check_choice('split', 'tset', dict(train=1, test=2))
