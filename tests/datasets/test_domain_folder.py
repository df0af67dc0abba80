import os
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.datasets import DomainFolder, domain_classes, find_domain
from mmkd_custom.datasets.subset import digest, split_digest
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


def test_several_sources_are_one_dataset(two_domains):
    art = DomainFolder(two_domains, 'Art')
    real = DomainFolder(two_domains, 'Real World')
    both = DomainFolder(two_domains, 'real_world, Art')
    assert paths(both) == paths(real) + paths(art)
    assert both.get_gt_labels().tolist() == (
        real.get_gt_labels().tolist() + art.get_gt_labels().tolist()
    )
    assert both.domain == 'Real World,Art'
    assert both.origin == real.origin + art.origin
    assert both.CLASSES == art.CLASSES
    listed = DomainFolder(two_domains, ['Real World', 'Art'])
    assert split_digest(listed) == split_digest(both)


def test_subset_of_several_sources_is_drawn_per_class(two_domains):
    both = DomainFolder(two_domains, 'Art,Real World', labels_per_class=7)
    assert np.bincount(both.get_gt_labels()).tolist() == [7] * 3
    everything = paths(DomainFolder(two_domains, 'Art,Real World'))
    assert paths(both) == [everything[i] for i in both.subset_indices]
    rest = DomainFolder(
        two_domains, 'Art,Real World', labels_per_class=7, complement=True
    )
    assert sorted(paths(both) + paths(rest)) == sorted(everything)
    with pytest.raises(UserError, match='holds 9 images, but 10'):
        DomainFolder(two_domains, 'Art,Real World', labels_per_class=10)


def test_several_sources_must_have_the_same_classes(two_domains, write_image):
    write_image(find_domain(two_domains, 'Art') / 'dog' / 'x.png')
    for options in (
        dict(domain='Real World,Art'),
        dict(domain='Real World', classes_from='Real World,Art'),
    ):
        with pytest.raises(UserError, match="'dog' is in domain 'Art' only"):
            DomainFolder(two_domains, **options)


@pytest.mark.parametrize('domain', ['Art,art', ['Art', 'ART']])
def test_a_domain_given_twice_is_refused(two_domains, domain):
    with pytest.raises(UserError, match='given twice'):
        DomainFolder(two_domains, domain)


@pytest.mark.parametrize('domain', ['Art,', '', [], ','])
def test_an_empty_name_is_refused(two_domains, domain):
    with pytest.raises(UserError, match='names with commas between'):
        DomainFolder(two_domains, domain)


def test_empty_class_of_a_second_source_names_its_domain(two_domains):
    for domain in ('Art', 'Real World'):
        (find_domain(two_domains, domain) / 'dog').mkdir()
    (find_domain(two_domains, 'Art') / 'dog' / 'x.png').touch()
    with pytest.raises(UserError, match="'dog' of domain 'Real World' is em"):
        DomainFolder(two_domains, 'Art,Real World')


def test_office31_has_a_folder_between_domain_and_classes(
    tmp_path, write_image
):
    for domain in ('amazon', 'dslr'):
        for name in ('back_pack', 'bike'):
            write_image(tmp_path / domain / 'images' / name / 'frame_1.jpg')
    (tmp_path / 'amazon' / 'label.txt').touch()
    dataset = DomainFolder(str(tmp_path), 'amazon', classes_from='dslr')
    assert dataset.CLASSES == ('back_pack', 'bike')
    assert dataset.domain == 'amazon'
    assert [os.path.relpath(path, tmp_path) for path in paths(dataset)] == [
        'amazon/images/back_pack/frame_1.jpg',
        'amazon/images/bike/frame_1.jpg',
    ]


@pytest.fixture
def visda(tmp_path, write_image):
    """VisDA-2017 with 3 classes: class folders, and trunks for the test."""
    for domain in ('train', 'validation'):
        for name in ('aeroplane', 'bicycle', 'bus'):
            write_image(tmp_path / domain / name / f'{name} 1.jpg')
    lines = []
    for number in range(4):
        path = f'trunk{number % 2:02}/{number}.jpg'
        write_image(tmp_path / 'test' / path)
        lines.append(f'{path} {2 - number % 3}')
    (tmp_path / 'test' / 'image_list.txt').write_text('\n'.join(lines))
    return tmp_path


def test_visda_test_is_read_by_its_list(visda):
    dataset = DomainFolder(str(visda), 'test', classes_from='train')
    assert dataset.CLASSES == ('aeroplane', 'bicycle', 'bus')
    assert dataset.get_gt_labels().tolist() == [2, 1, 0, 2]
    assert [os.path.relpath(path, visda) for path in paths(dataset)] == [
        'test/trunk00/0.jpg',
        'test/trunk01/1.jpg',
        'test/trunk00/2.jpg',
        'test/trunk01/3.jpg',
    ]
    train = DomainFolder(str(visda), 'train', classes_from='test')
    assert len(train) == 3


def test_visda_test_wants_classes_of_another_domain(visda):
    with pytest.raises(UserError, match="'test'.* trunk .*set classes_from"):
        DomainFolder(str(visda), 'test')
    listed = visda / 'test' / 'image_list.txt'
    listed.write_text('trunk00/0.jpg 3\n')
    with pytest.raises(UserError, match='line 1: label 3 is out of range'):
        DomainFolder(str(visda), 'test', classes_from='train')
    listed.write_text('trunk00/0.jpg 0\n\ntrunk00/1.jpg 0\n')
    with pytest.raises(UserError, match='line 3: .*1.jpg does not exist'):
        DomainFolder(str(visda), 'test', classes_from='train')
    listed.unlink()
    with pytest.raises(UserError, match='image_list.txt: cannot be read'):
        DomainFolder(str(visda), 'test', classes_from='train')


def test_links_that_lead_back_add_no_image(two_domains):
    art = Path(two_domains) / 'Art'
    before = DomainFolder(two_domains, 'Art')
    for link, target in {
        'loop': art,
        'cat/up': art,
        'cat/all': Path(two_domains),
        'cat/again': art / 'cat',
    }.items():
        (art / link).symlink_to(target)
    after = DomainFolder(two_domains, 'Art')
    assert after.CLASSES == before.CLASSES
    assert paths(after) == paths(before)
    # Images of the class, wherever they are.
    (art / 'cat' / 'more').symlink_to(Path(two_domains) / 'Real World' / 'cat')
    assert len(DomainFolder(two_domains, 'Art')) == len(before) + 5


def test_two_classes_of_one_folder_are_refused(two_domains):
    art = Path(two_domains) / 'Art'
    (art / 'tiger').symlink_to(art / 'cat')
    with pytest.raises(UserError, match="class 'tiger'.*Art/cat"):
        DomainFolder(two_domains, 'Art')
    (art / 'tiger').unlink()
    (art / 'Bike' / 'more').symlink_to(art / 'cat')
    with pytest.raises(UserError, match="class 'cat'.*Bike/more"):
        DomainFolder(two_domains, 'Art')


def test_names_in_another_form_of_unicode_are_the_same(make_domain):
    composed, decomposed = 'caf\u00e9', 'cafe\u0301'
    make_domain('a', {composed: 2, 'cafeteria': 1, 'zoo': 1})
    root = make_domain('b', {decomposed: 3, 'cafeteria': 1, 'zoo': 1})
    source = DomainFolder(root, 'a')
    target = DomainFolder(root, 'b', classes_from='a')
    # As the names are sorted, not the characters on the disk.
    assert source.CLASSES == target.CLASSES == ('cafeteria', composed, 'zoo')
    labels = [target.get_data_info(i)['gt_label'] for i in range(5)]
    assert labels == [0, 1, 1, 1, 2]
    assert DomainFolder(root, 'a,b').get_data_info(5)['gt_label'] == 1
    make_domain('c', {composed: 1, decomposed: 1})
    with pytest.raises(UserError, match='two class folders'):
        DomainFolder(root, 'c')
