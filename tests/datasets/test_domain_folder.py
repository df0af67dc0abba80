import os

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.datasets import DomainFolder, domain_classes, find_domain
from mmkd_custom.datasets.subset import digest
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS

CLASSES = ('Bike', 'apple', 'cat')
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


def paths(dataset):
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def test_classes_and_samples_are_sorted(two_domains):
    dataset = DomainFolder(two_domains, 'Art')
    assert dataset.CLASSES == CLASSES
    assert dataset.metainfo['classes'] == dataset.CLASSES
    expected = [
        os.path.join(two_domains, 'Art', name, f'im {number}.png')
        for name in dataset.CLASSES
        for number in range(4)
    ]
    assert paths(dataset) == expected
    assert dataset.get_gt_labels().tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_nested_and_hidden_and_other_files(make_domain, write_image):
    root = make_domain('Art', dict(a=1, b=1))
    art = find_domain(root, 'Art')
    write_image(art / 'a' / 'z' / 'deep.JPG')
    write_image(art / 'a' / '.hidden.png')
    write_image(art / '.c' / 'x.png')
    (art / 'a' / 'notes.txt').write_text('x')
    (art / 'list.txt').write_text('x')
    dataset = DomainFolder(root, 'Art')
    assert [os.path.relpath(path, art) for path in paths(dataset)] == [
        'a/im 0.png',
        'a/z/deep.JPG',
        'b/im 0.png',
    ]
    assert dataset.CLASSES == ('a', 'b')


@pytest.mark.parametrize(
    'spelling', ['Real World', 'Real_World', 'real-world', 'REAL_WORLD']
)
@pytest.mark.parametrize('folder', ['Real World', 'Real_World'])
def test_spellings_of_a_domain(make_domain, folder, spelling):
    root = make_domain(folder)
    assert find_domain(root, spelling).name == folder
    dataset = DomainFolder(root, spelling)
    assert dataset.domain == folder and len(dataset) == 12


def test_exact_spelling_wins_and_a_tie_is_refused(make_domain):
    make_domain('Real World', dict(a=1))
    root = make_domain('Real_World', dict(a=1))
    assert find_domain(root, 'Real_World').name == 'Real_World'
    with pytest.raises(UserError, match='exact name'):
        find_domain(root, 'real world')


def test_builds_from_a_config(two_domains):
    config = dict(data_root=two_domains, domain='Art', pipeline=PIPELINE)
    scoped = DATASETS.build(dict(type='mmkd_custom.DomainFolder', **config))
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        bare = DATASETS.build(dict(type='DomainFolder', **config))
    for dataset in (scoped, bare):
        item = dataset[5]
        assert item['inputs'].shape == (3, 16, 20)
        assert item['data_samples'].gt_label.tolist() == [1]


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
def test_subsets_are_stratified(two_domains, options, count):
    dataset = DomainFolder(two_domains, 'Real World', **options)
    assert np.bincount(dataset.get_gt_labels()).tolist() == [count] * 3
    everything = paths(DomainFolder(two_domains, 'Real World'))
    assert paths(dataset) == [everything[i] for i in dataset.subset_indices]


def test_subset_and_complement_split_the_domain(two_domains):
    options = dict(labels_per_class=2, seed=3)
    kept = DomainFolder(two_domains, 'Real World', **options)
    rest = DomainFolder(two_domains, 'Real World', complement=True, **options)
    everything = DomainFolder(two_domains, 'Real World')
    assert sorted(paths(kept) + paths(rest)) == sorted(paths(everything))
    other = DomainFolder(two_domains, 'Real World', labels_per_class=2, seed=4)
    assert digest(other.subset_indices) != digest(kept.subset_indices)


def test_missing_root(tmp_path):
    with pytest.raises(UserError, match='nowhere is no existing.*DATA_ROOT'):
        DomainFolder(str(tmp_path / 'nowhere'), 'Art')
    with pytest.raises(UserError, match='no folder was given.*DATA_ROOT'):
        DomainFolder('', 'Art')


def test_unknown_domain_lists_those_there_are(two_domains):
    with pytest.raises(UserError, match="'Art', 'Real World' .*nearest: 'Art"):
        DomainFolder(two_domains, 'Arts')


def test_domain_without_classes(two_domains):
    find_domain(two_domains, 'Art').joinpath('../Empty').mkdir()
    with pytest.raises(UserError, match="'Empty': .*no class folder"):
        domain_classes(two_domains, 'Empty')


def test_empty_class(two_domains):
    (find_domain(two_domains, 'Art') / 'dog').mkdir()
    assert 'dog' in domain_classes(two_domains, 'Art')
    with pytest.raises(UserError, match="class 'dog' of domain 'Art' is emp"):
        DomainFolder(two_domains, 'Art')


@pytest.mark.parametrize(
    'domain, other', [('Art', 'Real World'), ('Real World', 'Art')]
)
def test_class_in_one_domain_only(two_domains, write_image, domain, other):
    DomainFolder(two_domains, domain, classes_from=other)
    write_image(find_domain(two_domains, 'Art') / 'dog' / 'x.png')
    with pytest.raises(
        UserError,
        match="class 'dog' is in domain 'Art' only and not in 'Real World'",
    ):
        DomainFolder(two_domains, domain, classes_from=other)


def test_more_labels_than_there_are(two_domains):
    with pytest.raises(UserError, match="'Bike' holds 4 images, but 5"):
        DomainFolder(two_domains, 'Art', labels_per_class=5)


@pytest.mark.parametrize('content', [b'', b'no image', b'\xff\xd8\xff\xe0'])
def test_unreadable_image_is_named(two_domains, content):
    dataset = DomainFolder(two_domains, 'Art', pipeline=PIPELINE)
    path = paths(dataset)[2]
    with open(path, 'wb') as file:
        file.write(content)
    dataset[1]
    with pytest.raises(UserError, match='im 2.png: this image cannot be'):
        dataset[2]


def test_real_images(pacs_root):
    expected = (
        'dog',
        'elephant',
        'giraffe',
        'guitar',
        'horse',
        'house',
        'person',
    )
    for domain, other in (('art_painting', 'photo'), ('Photo', None)):
        dataset = DomainFolder(
            str(pacs_root), domain, classes_from=other, pipeline=PIPELINE
        )
        assert dataset.CLASSES == expected
        folder = find_domain(pacs_root, domain)
        assert len(dataset) == len(list(folder.glob('*/*.jpg')))
        assert dataset[0]['inputs'].shape[0] == 3
