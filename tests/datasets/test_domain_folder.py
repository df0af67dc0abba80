from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.datasets import DomainFolder, find_domain
from mmkd_custom.datasets.subset import split_digest
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS

CLASSES = ('Bike', 'apple', 'cat')
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


def test_classes_and_samples_are_sorted(two_domains, rows):
    dataset = DomainFolder(two_domains, 'Art')
    assert dataset.CLASSES == dataset.metainfo['classes'] == CLASSES
    assert rows(dataset) == [
        (f'Art/{name}/im {number}.png', label)
        for label, name in enumerate(CLASSES)
        for number in range(4)
    ]


def test_nested_images_count_and_hidden_ones_do_not(
    make_domain, write_image, touch, rows
):
    root = make_domain('Art', dict(a=1, b=1))
    art = find_domain(root, 'Art')
    for name in ('a/z/deep.JPG', 'a/.hidden.png', '.c/x.png'):
        write_image(art / name)
    touch(art, 'a/notes.txt', 'list.txt')
    dataset = DomainFolder(root, 'Art')
    assert dataset.CLASSES == ('a', 'b')
    assert rows(dataset, art) == [
        ('a/im 0.png', 0),
        ('a/z/deep.JPG', 0),
        ('b/im 0.png', 1),
    ]


@pytest.mark.parametrize(
    'spelling', ['Real World', 'Real_World', 'real-world', 'REAL_WORLD']
)
@pytest.mark.parametrize('folder', ['Real World', 'Real_World'])
def test_spellings_of_a_domain(make_domain, folder, spelling):
    dataset = DomainFolder(make_domain(folder), spelling)
    assert dataset.domain == folder and len(dataset) == 12


def test_builds_by_bare_and_scoped_name(two_domains):
    config = dict(data_root=two_domains, domain='Art', pipeline=PIPELINE)
    scoped = DATASETS.build(dict(type='mmkd_custom.DomainFolder', **config))
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        bare = DATASETS.build(dict(type='DomainFolder', **config))
    for dataset in (scoped, bare):
        assert dataset[5]['data_samples'].gt_label.tolist() == [1]


def test_several_domains_are_one_dataset(two_domains, rows):
    art = DomainFolder(two_domains, 'Art')
    real = DomainFolder(two_domains, 'Real World')
    both = DomainFolder(two_domains, 'real_world, Art')
    assert rows(both) == rows(real) + rows(art)
    assert both.domain == 'Real World,Art'
    assert both.origin == real.origin + art.origin
    assert both.CLASSES == art.CLASSES
    listed = DomainFolder(two_domains, ['Real World', 'Art'])
    assert split_digest(listed) == split_digest(both)


@pytest.mark.parametrize(
    'options',
    [
        dict(domain='Art', classes_from='Real World'),
        dict(domain='Real World', classes_from='Art'),
        dict(domain='Real World,Art'),
        dict(domain='Real World', classes_from='Real World,Art'),
    ],
)
def test_domains_must_have_the_same_classes(two_domains, write_image, options):
    DomainFolder(two_domains, **options)
    write_image(Path(two_domains) / 'Art' / 'dog' / 'x.png')
    with pytest.raises(UserError, match="'dog' in 'Art' only"):
        DomainFolder(two_domains, **options)


def test_empty_class_names_its_domain(two_domains, touch):
    for domain in ('Art', 'Real World'):
        (Path(two_domains) / domain / 'dog').mkdir()
    touch(Path(two_domains), 'Art/dog/x.png')
    with pytest.raises(UserError, match="'dog' of domain 'Real World'"):
        DomainFolder(two_domains, 'Art,Real World')


def test_real_images(pacs_root):
    expected = 'dog elephant giraffe guitar horse house person'.split()
    for domain, other in (('art_painting', 'photo'), ('Photo', None)):
        dataset = DomainFolder(
            str(pacs_root), domain, classes_from=other, pipeline=PIPELINE
        )
        assert list(dataset.CLASSES) == expected
        folder = find_domain(pacs_root, domain)
        assert len(dataset) == len(list(folder.glob('*/*.jpg')))
        assert dataset[0]['inputs'].shape[0] == 3


def test_office31_has_a_folder_between_domain_and_classes(
    tmp_path, touch, rows
):
    for domain in ('amazon', 'dslr'):
        for name in ('back_pack', 'bike'):
            touch(tmp_path, f'{domain}/images/{name}/frame_1.jpg')
    touch(tmp_path, 'amazon/label.txt')
    dataset = DomainFolder(str(tmp_path), 'amazon', classes_from='dslr')
    assert dataset.CLASSES == ('back_pack', 'bike')
    assert dataset.domain == 'amazon'
    assert rows(dataset) == [
        ('amazon/images/back_pack/frame_1.jpg', 0),
        ('amazon/images/bike/frame_1.jpg', 1),
    ]


@pytest.fixture
def visda(tmp_path, touch):
    """VisDA-2017 with 3 classes: class folders, and trunks for the test."""
    for domain in ('train', 'validation'):
        for name in ('aeroplane', 'bicycle', 'bus'):
            touch(tmp_path, f'{domain}/{name}/{name} 1.jpg')
    lines = []
    for number in range(4):
        path = f'trunk{number % 2:02}/{number}.jpg'
        touch(tmp_path, f'test/{path}')
        lines.append(f'{path} {2 - number % 3}')
    (tmp_path / 'test' / 'image_list.txt').write_text('\n'.join(lines))
    return tmp_path


def test_visda_test_is_read_by_its_list(visda, rows):
    dataset = DomainFolder(str(visda), 'test', classes_from='train')
    assert dataset.CLASSES == ('aeroplane', 'bicycle', 'bus')
    assert rows(dataset) == [
        ('test/trunk00/0.jpg', 2),
        ('test/trunk01/1.jpg', 1),
        ('test/trunk00/2.jpg', 0),
        ('test/trunk01/3.jpg', 2),
    ]
    train = DomainFolder(str(visda), 'train', classes_from='test')
    assert len(train) == 3


@pytest.mark.parametrize(
    'text, classes_from, named',
    [
        (None, None, "'test'.*classes_from"),
        ('trunk00/0.jpg 3\n', 'train', 'line 1: .*3'),
        ('trunk00/0.jpg 0\n\ntrunk00/1.jpg 0\n', 'train', 'line 3: .*1.jpg'),
    ],
)
def test_wrong_trunk_list_is_named(visda, text, classes_from, named):
    if text:
        (visda / 'test' / 'image_list.txt').write_text(text)
    with pytest.raises(UserError, match=named):
        DomainFolder(str(visda), 'test', classes_from=classes_from)


def test_links_that_lead_back_add_no_image(two_domains, rows):
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
    assert rows(after) == rows(before)
    # Images of the class, wherever they are.
    (art / 'cat' / 'more').symlink_to(Path(two_domains) / 'Real World' / 'cat')
    assert len(DomainFolder(two_domains, 'Art')) == len(before) + 5


@pytest.mark.parametrize(
    'link, named',
    [('tiger', "'tiger'.*Art/cat"), ('Bike/more', "'cat'.*more")],
)
def test_two_classes_of_one_folder_are_refused(two_domains, link, named):
    art = Path(two_domains) / 'Art'
    (art / link).symlink_to(art / 'cat')
    with pytest.raises(UserError, match=f'class {named}'):
        DomainFolder(two_domains, 'Art')


def test_names_in_another_form_of_unicode_are_the_same(make_domain):
    composed, decomposed = 'caf\u00e9', 'cafe\u0301'
    make_domain('a', {composed: 2, 'cafeteria': 1, 'zoo': 1})
    root = make_domain('b', {decomposed: 3, 'cafeteria': 1, 'zoo': 1})
    source = DomainFolder(root, 'a')
    target = DomainFolder(root, 'b', classes_from='a')
    # As the names are sorted, not the characters on the disk.
    assert source.CLASSES == target.CLASSES == ('cafeteria', composed, 'zoo')
    assert target.get_gt_labels().tolist() == [0, 1, 1, 1, 2]
    make_domain('c', {composed: 1, decomposed: 1})
    with pytest.raises(UserError, match=f"domain 'c'.*'{composed}'"):
        DomainFolder(root, 'c')
