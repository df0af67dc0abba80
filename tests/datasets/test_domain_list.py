import os

import numpy as np
import pytest

from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.domain_list import DomainList
from mmkd_custom.datasets.subset import split_digest
from mmkd_custom.errors import UserError

# In the order of DomainNet's lists, which is that of a dictionary.
CLASSES = ('cello', 'cell_phone', 'tent', 'The_Eiffel_Tower', 't-shirt')


def write_lists(root, domain, classes=CLASSES, train=3, test=1):
    """DomainNet's layout without images: lists and empty files."""
    (root / 'image_list').mkdir(parents=True, exist_ok=True)
    for split, count in dict(train=train, test=test).items():
        lines = []
        for label, name in enumerate(classes):
            for number in range(count):
                path = f'{domain}/{name}/{domain}_{split} {number}.jpg'
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()
                lines.append(f'{path} {label}')
        file = root / 'image_list' / f'{domain}_{split}.txt'
        file.write_text('\n'.join(lines) + '\n')
    return str(root)


@pytest.fixture
def domainnet(tmp_path):
    root = tmp_path / 'DomainNet'
    write_lists(root, 'clipart')
    return write_lists(root, 'real', train=4)


def rewrite(root, name, change):
    path = os.path.join(root, 'image_list', name)
    with open(path) as file:
        text = file.read()
    with open(path, 'w') as file:
        file.write(change(text))


def test_domainnet(domainnet, rows):
    dataset = DomainList(domainnet, domain='clipart')
    assert dataset.CLASSES == CLASSES
    assert dataset.get_gt_labels().tolist() == np.repeat(range(5), 3).tolist()
    assert rows(dataset)[2:4] == [
        ('clipart/cello/clipart_train 2.jpg', 0),
        ('clipart/cell_phone/clipart_train 0.jpg', 1),
    ]
    test = DomainList(
        domainnet, domain='real', split='test', classes_from='clipart'
    )
    assert len(test) == 5 and 'real_test 0' in rows(test)[0][0]


def test_several_domains_are_one_dataset(domainnet, rows):
    both = DomainList(domainnet, domain='real,clipart', labels_per_class=6)
    assert both.domain == 'real,clipart' and len(both.origin) == 2
    assert np.bincount(both.get_gt_labels()).tolist() == [6] * 5
    whole = DomainList(domainnet, domain=['real', 'clipart'])
    assert rows(whole) == [
        *rows(DomainList(domainnet, domain='real')),
        *rows(DomainList(domainnet, domain='clipart')),
    ]
    assert rows(both) == [rows(whole)[i] for i in both.subset_indices]
    lists = ['image_list/clipart_train.txt', 'image_list/clipart_test.txt']
    dataset = DomainList(domainnet, lists)
    assert len(dataset) == 20
    assert dataset.domain == 'clipart_train.txt,clipart_test.txt'


def test_lists_of_a_folder_give_the_same_digest(two_domains, tmp_path, rows):
    folder = DomainFolder(two_domains, 'Real World')
    lines = [f'{path} {label}' for path, label in rows(folder)]
    (tmp_path / 'Real World.txt').write_text('\n'.join(lines))
    for options in (dict(), dict(labels_per_class=2, seed=5)):
        listed = DomainList(
            two_domains, '{domain}.txt', 'real_world', **options
        )
        folder = DomainFolder(two_domains, 'Real World', **options)
        assert listed.CLASSES == folder.CLASSES
        assert split_digest(listed) == split_digest(folder)


def test_visda_lists_in_their_own_folders(tmp_path, touch, rows):
    touch(tmp_path, 'train/aeroplane/1.png', 'train/bus/1.png')
    touch(tmp_path, 'test/trunk00/1.jpg')
    lists = dict(
        train='aeroplane/1.png 0\nbus/1.png 1', test='trunk00/1.jpg 1'
    )
    for name, text in lists.items():
        (tmp_path / name / 'image_list.txt').write_text(text)
    options = dict(list_file='{domain}/image_list.txt', domain='test')
    test = DomainList(
        str(tmp_path), classes_from='train', test_mode=True, **options
    )
    assert rows(test) == [('test/trunk00/1.jpg', 1)]
    given = DomainList(str(tmp_path), classes=['plane', 'bus'], **options)
    assert given.CLASSES == ('plane', 'bus')
    with pytest.raises(UserError, match='line 1: .*classes_from'):
        DomainList(str(tmp_path), **options)
    with pytest.raises(UserError, match="classes_from: .*'aeroplane'"):
        DomainList(str(tmp_path), classes_from='train', **options)


def test_another_order_is_refused_unless_given(tmp_path):
    names = ('cat', 'apple', 'Bike')
    root = write_lists(tmp_path / 'root', 'a', names)
    with pytest.raises(UserError, match="a_train.txt, line 1: .*'cat'"):
        DomainList(root, domain='a')
    assert DomainList(root, domain='a', classes=names).CLASSES == names
    (tmp_path / 'names.txt').write_text('\ufeffcat\r\napple \nBike\n\n')
    file = str(tmp_path / 'names.txt')
    assert DomainList(root, domain='a', classes=file).CLASSES == names


@pytest.mark.parametrize('label', [5, -1])
def test_label_out_of_range_is_named(domainnet, label):
    rewrite(
        domainnet, 'real_train.txt', lambda t: t.replace(' 4\n', f' {label}\n')
    )
    for options in ({}, dict(classes=CLASSES), dict(classes_from='clipart')):
        with pytest.raises(UserError, match=f'line 17: .* {label}'):
            DomainList(domainnet, domain='real', **options)


def test_test_list_may_lack_a_class(domainnet):
    def drop(text):
        return ''.join(
            line for line in text.splitlines(True) if 'tent' not in line
        )

    options = dict(domain='real', split='test')
    # What the classes are is told by the training lists alone.
    rewrite(domainnet, 'real_test.txt', drop)
    rewrite(domainnet, 'clipart_test.txt', drop)
    with pytest.raises(UserError, match='classes_from'):
        DomainList(domainnet, **options)
    test = DomainList(
        domainnet, classes_from='clipart', test_mode=True, **options
    )
    assert test.CLASSES == CLASSES
    assert test.get_gt_labels().tolist() == [0, 1, 3, 4]
    with pytest.raises(UserError, match="classes_from: .*'tent'"):
        DomainList(domainnet, classes_from='clipart', **options)


def test_folders_that_contradict_the_classes_are_named(tmp_path):
    write_lists(tmp_path / 'root', 'a', ('apple', 'bike'))
    root = write_lists(tmp_path / 'root', 'b', ('apple', 'car'))
    with pytest.raises(UserError, match="line 4: .*'bike'.*'car'"):
        DomainList(root, domain='b', classes_from='a')
    with pytest.raises(UserError, match="line 1: .*'car'.*'apple'"):
        DomainList(root, domain='b', classes=['car', 'apple'])


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(), 'list_file: .*domain'),
        (dict(list_file='x.txt', domain='real'), 'list_file: .*domain'),
        (dict(list_file='{what}.txt', domain='real'), 'list_file: .*what'),
        (dict(list_file='{domain', domain='real'), 'list_file: '),
        (dict(list_file='{domain!r}.txt', domain='real'), 'list_file: '),
        (dict(list_file='{domain:d}.txt', domain='real'), 'list_file: '),
        (dict(list_file=None), 'list_file: .*None'),
        (dict(list_file=[], domain='real'), 'list_file: '),
        (dict(domain='reel'), "list_file: .*'real_train.txt'"),
        (dict(domain='real,real'), 'list_file: .*once'),
        (dict(domain='real', classes='none.txt'), 'classes: none.txt'),
        (dict(domain='real', classes=5), 'classes: .*5'),
        (dict(domain='real', classes=['a', ' ']), 'classes: '),
        (dict(domain='real', classes=['a', 'a']), 'classes: '),
        (
            dict(domain='real', classes=CLASSES, classes_from='a'),
            'classes and classes_from: ',
        ),
    ],
)
def test_options_refused(domainnet, options, named):
    with pytest.raises(UserError, match=named):
        DomainList(domainnet, **options)
