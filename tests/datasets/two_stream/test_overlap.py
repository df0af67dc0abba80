import numpy as np
import pytest

from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.domain_list import DomainList
from mmkd_custom.datasets.two_stream.overlap import (
    check_distinct,
    positions_outside,
)
from mmkd_custom.errors import UserError


def test_by_file_however_the_folder_is_reached(two_domains, tmp_path):
    (tmp_path / 'link').symlink_to(two_domains)
    few = DomainFolder(two_domains, 'Real World', labels_per_class=2, seed=3)
    for root in (two_domains, str(tmp_path / 'link')):
        everything = DomainFolder(root, 'Real World')
        expected = np.setdiff1d(np.arange(15), few.subset_indices)
        assert np.array_equal(positions_outside(everything, few), expected)
        # A subset of the unlabelled images: positions are its own.
        some = DomainFolder(root, 'Real World', labels_per_class=4)
        expected = [
            position
            for position, index in enumerate(some.subset_indices)
            if index not in few.subset_indices
        ]
        assert positions_outside(some, few).tolist() == expected


def test_files_of_other_folders_stay(two_domains):
    art = DomainFolder(two_domains, 'Art')
    real = DomainFolder(two_domains, 'Real World')
    assert positions_outside(real, art).tolist() == list(range(15))


def test_nothing_left_is_refused(two_domains):
    few = DomainFolder(two_domains, 'Art', labels_per_class=2)
    with pytest.raises(UserError, match='all 6 unlabelled images'):
        positions_outside(few, few)


class InMemory:
    """What is asked of a dataset of images without files."""

    def __init__(self, indices=None, origin=('cifar',), size=10, length=None):
        self.subset_indices = indices
        if origin is not None:
            self.origin = origin
        self.size = size if indices is None else len(indices)
        if length is not None:
            self.size = length

    def __len__(self):
        return self.size

    def get_data_info(self, index):
        return dict(img=np.zeros((2, 2, 3)), gt_label=0)


def test_by_index_where_there_are_no_files():
    few = InMemory(np.array([1, 4, 7]))
    assert positions_outside(InMemory(), few).tolist() == [0, 2, 3, 5, 6, 8, 9]
    some = InMemory(np.array([4, 5, 7, 9]))
    assert positions_outside(some, few).tolist() == [1, 3]


@pytest.mark.parametrize(
    'unlabelled, labelled',
    [
        (InMemory(origin=('test',)), InMemory(np.array([1]))),
        (InMemory(origin=None), InMemory(np.array([1]), origin=None)),
        # Cut by MMEngine's own option: indices of what, nobody knows.
        (InMemory(np.array([1, 2, 3]), length=2), InMemory(np.array([1]))),
    ],
)
def test_what_cannot_be_told_is_refused(unlabelled, labelled):
    with pytest.raises(UserError, match='cannot be told which are the same'):
        positions_outside(unlabelled, labelled)


def test_files_against_memory_are_refused(two_domains):
    real = DomainFolder(two_domains, 'Real World')
    with pytest.raises(UserError, match='InMemory .unlabelled. and DomainFol'):
        positions_outside(InMemory(), real)
    with pytest.raises(UserError, match='cannot be told'):
        positions_outside(real, InMemory())


def test_a_target_among_several_sources_is_refused(two_domains):
    both = DomainFolder(two_domains, 'Art,Real World')
    with pytest.raises(UserError, match='source = target: .*/Real World;'):
        check_distinct(both, DomainFolder(two_domains, 'Real World'))
    art = DomainFolder(two_domains, 'Art')
    check_distinct(art, DomainFolder(two_domains, 'Real World'))
    # A few labels of the same images are the semi-supervised setting.
    few = DomainFolder(two_domains, 'Art', labels_per_class=1)
    check_distinct(few, art)


def test_the_same_list_twice_is_refused(two_domains, tmp_path):
    names = sorted(DomainFolder(two_domains, 'Art').CLASSES)
    lines = [
        f'{info["img_path"]} {info["gt_label"]}'
        for info in DomainFolder(two_domains, 'Art').load_data_list()
    ]
    for name, kept in (('a', lines), ('b', lines)):
        (tmp_path / f'{name}.txt').write_text('\n'.join(kept))
    options = dict(data_root=str(tmp_path), classes=names)
    first = DomainList(list_file='a.txt', **options)
    with pytest.raises(UserError, match='source = target'):
        check_distinct(first, DomainList(list_file='a.txt', **options))
    check_distinct(first, DomainList(list_file='b.txt', **options))
