import os
import pickle

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.domain_list import DomainList
from mmkd_custom.datasets.subset import split_digest
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
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


def relative(dataset):
    return [
        os.path.relpath(
            dataset.get_data_info(i)['img_path'], dataset.data_root
        )
        for i in range(len(dataset))
    ]


def rewrite(root, name, change):
    path = os.path.join(root, 'image_list', name)
    with open(path) as file:
        text = file.read()
    with open(path, 'w') as file:
        file.write(change(text))


def test_domainnet(domainnet):
    dataset = DomainList(domainnet, domain='clipart')
    assert dataset.CLASSES == CLASSES
    assert dataset.get_gt_labels().tolist() == np.repeat(range(5), 3).tolist()
    assert relative(dataset)[:4] == [
        'clipart/cello/clipart_train 0.jpg',
        'clipart/cello/clipart_train 1.jpg',
        'clipart/cello/clipart_train 2.jpg',
        'clipart/cell_phone/clipart_train 0.jpg',
    ]
    test = DomainList(
        domainnet, domain='real', split='test', classes_from='clipart'
    )
    assert len(test) == 5 and 'real_test 0' in relative(test)[0]
    assert len(pickle.loads(pickle.dumps(test))) == 5


def test_several_sources(domainnet):
    both = DomainList(domainnet, domain='real,clipart', labels_per_class=6)
    assert both.domain == 'real,clipart' and len(both.origin) == 2
    assert np.bincount(both.get_gt_labels()).tolist() == [6] * 5
    whole = DomainList(domainnet, domain=['real', 'clipart'])
    assert relative(whole)[0].startswith('real/')
    assert relative(whole)[-1].startswith('clipart/')
    assert relative(both) == [relative(whole)[i] for i in both.subset_indices]
    rest = DomainList(
        domainnet, domain='real,clipart', labels_per_class=6, complement=True
    )
    assert len(rest) == len(whole) - 30


def test_several_lists_without_a_domain(domainnet):
    lists = ['image_list/clipart_train.txt', 'image_list/clipart_test.txt']
    dataset = DomainList(domainnet, lists)
    assert len(dataset) == 20
    assert dataset.domain == 'clipart_train.txt,clipart_test.txt'


def test_lists_of_a_folder_give_the_same_digest(two_domains, tmp_path):
    folder = DomainFolder(two_domains, 'Real World')
    lines = [
        f'{path} {label}'
        for path, label in zip(relative(folder), folder.get_gt_labels())
    ]
    (tmp_path / 'Real World.txt').write_text('\n'.join(lines))
    listed = DomainList(
        two_domains, '{domain}.txt', 'real_world', pipeline=PIPELINE
    )
    assert listed.CLASSES == folder.CLASSES
    assert split_digest(listed) == split_digest(folder)
    options = dict(labels_per_class=2, seed=5)
    assert split_digest(
        DomainList(two_domains, '{domain}.txt', 'Real World', **options)
    ) == split_digest(DomainFolder(two_domains, 'Real World', **options))
    assert listed[7]['data_samples'].gt_label.tolist() == [1]


def test_builds_from_a_config(domainnet):
    config = dict(data_root=domainnet, domain='real')
    scoped = DATASETS.build(dict(type='mmkd_custom.DomainList', **config))
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        bare = DATASETS.build(dict(type='DomainList', **config))
    assert len(scoped) == len(bare) == 20


def test_visda_lists_in_their_own_folders(tmp_path):
    for name in ('aeroplane', 'bus'):
        (tmp_path / 'train' / name).mkdir(parents=True)
        (tmp_path / 'train' / name / '1.png').touch()
    (tmp_path / 'test' / 'trunk00').mkdir(parents=True)
    (tmp_path / 'test' / 'trunk00' / '1.jpg').touch()
    lists = dict(
        train='aeroplane/1.png 0\nbus/1.png 1', test='trunk00/1.jpg 1'
    )
    for name, text in lists.items():
        (tmp_path / name / 'image_list.txt').write_text(text)
    options = dict(list_file='{domain}/image_list.txt', domain='test')
    test = DomainList(
        str(tmp_path), classes_from='train', test_mode=True, **options
    )
    assert relative(test) == ['test/trunk00/1.jpg']
    assert test.get_gt_labels().tolist() == [1]
    given = DomainList(str(tmp_path), classes=['plane', 'bus'], **options)
    assert given.CLASSES == ('plane', 'bus')
    with pytest.raises(UserError, match='line 1: no class folder'):
        DomainList(str(tmp_path), **options)
    with pytest.raises(UserError, match="'aeroplane' is in the lists of 'tr"):
        DomainList(str(tmp_path), classes_from='train', **options)


@pytest.mark.parametrize(
    'names',
    [('Bike', 'apple', 'cat'), ('apple', 'Bike', 'cat')],
)
def test_both_sorted_orders_are_taken(tmp_path, names):
    root = write_lists(tmp_path / 'root', 'a', names)
    assert DomainList(root, domain='a').CLASSES == names


def test_another_order_is_refused_unless_given(tmp_path):
    names = ('cat', 'apple', 'Bike')
    root = write_lists(tmp_path / 'root', 'a', names)
    with pytest.raises(
        UserError,
        match="a_train.txt, line 1: .* label 0 is 'cat', but 'Bike' is want",
    ):
        DomainList(root, domain='a')
    assert DomainList(root, domain='a', classes=names).CLASSES == names
    (tmp_path / 'names.txt').write_text('\ufeffcat\r\napple \nBike\n\n')
    file = str(tmp_path / 'names.txt')
    assert DomainList(root, domain='a', classes=file).CLASSES == names


def test_a_label_and_a_name_go_together(domainnet):
    rewrite(
        domainnet, 'real_train.txt', lambda t: t.replace('1.jpg 1', '1.jpg 2')
    )
    with pytest.raises(
        UserError,
        match="line 6: class 'cell_phone' has label 2, but .*line 5 gives",
    ):
        DomainList(domainnet, domain='real')


def test_two_names_of_a_label(domainnet):
    rewrite(domainnet, 'real_train.txt', lambda t: t.replace(' 4\n', ' 3\n'))
    with pytest.raises(UserError, match="line 17: class 't-shirt' has lab"):
        DomainList(domainnet, domain='real')


@pytest.mark.parametrize('label', [5, -1, 99])
def test_label_out_of_range(domainnet, label):
    rewrite(
        domainnet,
        'real_train.txt',
        lambda t: t.replace(' 4\n', f' {label}\n'),
    )
    message = f'real_train.txt, line 17: label {label} is out of range'
    for options in ({}, dict(classes=CLASSES), dict(classes_from='clipart')):
        with pytest.raises(UserError, match=message):
            DomainList(domainnet, domain='real', **options)


def test_list_that_lacks_a_class(domainnet):
    def drop(text):
        return ''.join(
            line for line in text.splitlines(True) if 'tent' not in line
        )

    rewrite(domainnet, 'real_test.txt', drop)
    options = dict(domain='real', split='test')
    with pytest.raises(UserError, match='without gaps .* classes_from'):
        DomainList(domainnet, **options)
    test = DomainList(
        domainnet, classes_from='clipart', test_mode=True, **options
    )
    assert test.CLASSES == CLASSES
    assert test.get_gt_labels().tolist() == [0, 1, 3, 4]
    # What the classes are is told by the training lists alone.
    rewrite(domainnet, 'clipart_test.txt', drop)
    assert (
        DomainList(
            domainnet, classes_from='clipart', test_mode=True, **options
        ).CLASSES
        == CLASSES
    )
    with pytest.raises(UserError, match="'tent' is in the lists of 'clipart'"):
        DomainList(domainnet, classes_from='clipart', **options)


def test_other_classes_than_the_source(tmp_path):
    write_lists(tmp_path / 'root', 'a', ('apple', 'bike'))
    root = write_lists(tmp_path / 'root', 'b', ('apple', 'car'))
    with pytest.raises(
        UserError, match="b_train.txt, line 4: label 1 is 'bike', but .*'car'"
    ):
        DomainList(root, domain='b', classes_from='a')


def test_classes_given_contradict_the_folders(domainnet):
    swapped = ['tent', *CLASSES[1:2], 'cello', *CLASSES[3:]]
    with pytest.raises(UserError, match="label 0 is 'tent', but .*'cello'"):
        DomainList(domainnet, domain='real', classes=swapped)


def test_missing_image(domainnet):
    os.unlink(os.path.join(domainnet, 'real/tent/real_train 2.jpg'))
    with pytest.raises(
        UserError, match='line 11: the image .*real_train 2.jpg does not exi'
    ):
        DomainList(domainnet, domain='real')


def test_refused_options(domainnet):
    for options, message in (
        (dict(), 'domain} in it and a domain go together'),
        (dict(list_file='x.txt', domain='real'), 'go together'),
        (dict(list_file='{what}.txt', domain='real'), 'no other field'),
        (dict(list_file='{domain', domain='real'), 'no template'),
        (dict(list_file='{domain!r}.txt', domain='real'), 'no other field'),
        (dict(list_file='{domain:d}.txt', domain='real'), 'no other field'),
        (dict(list_file=None), 'list_file: a path or a list of paths'),
        (dict(list_file=[], domain='real'), 'no other field'),
        (dict(domain='real', classes='none.txt'), 'classes: none.txt cannot'),
        (dict(domain='real', classes=5), 'classes: class names, .* got 5'),
        (dict(domain='real', classes=['a', ' ']), 'none of them blank'),
        (dict(domain='real', classes=['a', 'a']), "'a' is given twice"),
        (dict(domain='reel'), "nearest: 'real_train.txt'"),
        (dict(domain='real,real'), 'read twice'),
        (dict(domain='real', classes=CLASSES, classes_from='a'), 'at most'),
        (dict(domain='real', labels_per_class=5), 'but 5 labels a class'),
    ):
        with pytest.raises(UserError, match=message):
            DomainList(domainnet, **options)
