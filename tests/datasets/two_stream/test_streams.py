"""What two streams may share: classes and images."""

import numpy as np
import pytest

from mmkd_custom.datasets import DomainFolder, find_domain
from mmkd_custom.datasets.domain_list import DomainList
from mmkd_custom.datasets.two_stream import TwoStreamDataset
from mmkd_custom.datasets.two_stream.streams import (
    check_distinct,
    positions_outside,
)
from mmkd_custom.errors import UserError
from tests.datasets.two_stream.helpers import domain


def test_different_classes_are_refused(two_domains, write_image):
    write_image(find_domain(two_domains, 'Real World') / 'dog' / 'x.png')
    art = domain(two_domains, 'Art')
    real = domain(two_domains, 'Real World')
    for parts, stream in (
        ((art, real), 'the unlabelled'),
        ((real, art), 'the labelled'),
    ):
        with pytest.raises(UserError, match=f"'dog' .* {stream} stream"):
            TwoStreamDataset(*parts)


def test_classes_in_another_order_are_refused(two_domains):
    art = DomainFolder(two_domains, 'Art')
    art._metainfo['classes'] = art.CLASSES[::-1]
    with pytest.raises(UserError, match='order'):
        TwoStreamDataset(art, domain(two_domains, 'Real World'))


def test_source_equal_to_target_is_refused(two_domains, tmp_path):
    real = domain(two_domains, 'Real World')
    with pytest.raises(UserError, match='source = target: .*Real World'):
        TwoStreamDataset(real, domain(two_domains, 'real_world'))
    # A few labels of the same images are the semi-supervised setting.
    few = domain(two_domains, 'Real World', labels_per_class=2)
    assert TwoStreamDataset(few, real).num_labelled == 6
    # One of several sources.
    art = DomainFolder(two_domains, 'Art')
    real = DomainFolder(two_domains, 'Real World')
    with pytest.raises(UserError, match='source = target: .*Real World'):
        check_distinct(DomainFolder(two_domains, 'Art,Real World'), real)
    check_distinct(art, real)
    # Lists, by their file.
    lines = '\n'.join(
        f'{info["img_path"]} {info["gt_label"]}'
        for info in art.load_data_list()
    )
    first, again, other = (
        DomainList(
            list_file=f'{name}.txt',
            data_root=str(tmp_path),
            classes=sorted(art.CLASSES),
        )
        for name in 'aab'
        if (tmp_path / f'{name}.txt').write_text(lines)
    )
    with pytest.raises(UserError, match='source = target'):
        check_distinct(first, again)
    check_distinct(first, other)


def test_streams_that_are_refused(two_domains):
    art = domain(two_domains, 'Art')
    for options, word in (
        (dict(labelled=[1, 2]), 'labelled'),
        (dict(labelled=art, synthetic=[]), 'synthetic'),
        (dict(labelled=art, exclude_labelled=True), 'exclude_labelled'),
    ):
        with pytest.raises(UserError, match=word):
            TwoStreamDataset(**options)
    bare = DomainFolder(two_domains, 'Art', serialize_data=False)
    for info in bare.data_list:
        del info['gt_label']
    with pytest.raises(UserError, match='gt_label'):
        TwoStreamDataset(bare)


def test_labelled_images_can_be_left_out_of_the_unlabelled(two_domains):
    def files(dataset):
        where = map(dataset.locate, range(dataset.num_labelled, len(dataset)))
        infos = (dataset.unlabelled.get_data_info(p) for _, p in where)
        return {info['img_path'] for info in infos}

    few = domain(two_domains, 'Real World', labels_per_class=2)
    everything = domain(two_domains, 'Real World')
    both = TwoStreamDataset(few, everything)
    rest = TwoStreamDataset(few, everything, exclude_labelled=True)
    assert (both.num_unlabelled, rest.num_unlabelled) == (15, 9)
    taken = {rest.labelled.get_data_info(i)['img_path'] for i in range(6)}
    assert files(rest) == files(both) - taken and len(taken) == 6
    rest[14]


def test_files_are_told_apart_however_the_folder_is_reached(
    two_domains, tmp_path
):
    (tmp_path / 'link').symlink_to(two_domains)
    few = DomainFolder(two_domains, 'Real World', labels_per_class=2, seed=3)
    for root in (two_domains, str(tmp_path / 'link')):
        everything = DomainFolder(root, 'Real World')
        expected = np.setdiff1d(np.arange(15), few.subset_indices)
        assert np.array_equal(positions_outside(everything, few), expected)
        # A subset of the unlabelled images: positions are its own.
        some = DomainFolder(root, 'Real World', labels_per_class=4)
        outside = np.flatnonzero(
            ~np.isin(some.subset_indices, few.subset_indices)
        )
        assert np.array_equal(positions_outside(some, few), outside)
    art = DomainFolder(two_domains, 'Art')
    assert len(positions_outside(everything, art)) == 15
    with pytest.raises(UserError, match='exclude_labelled'):
        positions_outside(few, few)


class InMemory:
    """What is asked of a dataset of images without files."""

    def __init__(self, indices=None, origin=('cifar',), length=None):
        self.subset_indices = None if indices is None else np.array(indices)
        if origin is not None:
            self.origin = origin
        self.size = length or (10 if indices is None else len(indices))

    def __len__(self):
        return self.size

    def get_data_info(self, index):
        return dict(img=np.zeros((2, 2, 3)), gt_label=0)


def test_images_in_memory_are_told_apart_by_index():
    few = InMemory([1, 4, 7])
    assert positions_outside(InMemory(), few).tolist() == [0, 2, 3, 5, 6, 8, 9]
    assert positions_outside(InMemory([4, 5, 7, 9]), few).tolist() == [1, 3]


@pytest.mark.parametrize(
    'unlabelled, labelled',
    [
        (InMemory(origin=('test',)), InMemory([1])),
        (InMemory(origin=None), InMemory([1], origin=None)),
        # Cut by MMEngine's own option: indices of what, nobody knows.
        (InMemory([1, 2, 3], length=2), InMemory([1])),
        (InMemory(), None),
        (None, InMemory()),
    ],
)
def test_images_that_cannot_be_told_apart(two_domains, unlabelled, labelled):
    real = DomainFolder(two_domains, 'Real World')
    pair = unlabelled or real, labelled or real
    with pytest.raises(UserError) as error:
        positions_outside(*pair)
    for one in pair:
        assert type(one).__name__ in str(error.value)
