from pathlib import Path

import pytest

from mmkd_custom.datasets.lists import (
    ListLine,
    check_images,
    class_names,
    find_list,
    image_base,
    read_list,
)
from mmkd_custom.errors import UserError


@pytest.fixture
def write_list(tmp_path):
    def write(text, name='list.txt'):
        path = tmp_path / name
        path.write_bytes(text.encode('utf-8', 'surrogateescape'))
        return path

    return write


def test_paths_with_spaces_comments_and_blank_lines(write_list):
    path = write_list(
        '\ufeff# a comment\r\n\r\n'
        'Real World/a b/my  pic 1.jpg 3\r\n'
        '  x/y.jpg\t12  \n'
    )
    assert [tuple(line) for line in read_list(path)] == [
        (path, 3, 'Real World/a b/my  pic 1.jpg', 3),
        (path, 4, 'x/y.jpg', 12),
    ]


@pytest.mark.parametrize(
    'line',
    ['a/x.jpg', '7', 'a/my pic.jpg', 'a/x.jpg 1.0', 'a/x.jpg 1_0', 'x.jpg ٣'],
)
def test_line_without_a_label_is_named(write_list, line):
    path = write_list(f'# c\na/x.jpg 0\n\n{line}\n')
    with pytest.raises(UserError, match=f'{path}, line 4: .*{line}'):
        read_list(path)


@pytest.mark.parametrize('text', ['# only a comment\n', '\n', '\udcff', None])
def test_file_without_a_line_is_named(write_list, tmp_path, text):
    if text is not None:
        write_list(text)
    with pytest.raises(UserError, match='list.txt: '):
        read_list(tmp_path / 'list.txt')


def test_list_below_or_beside_the_root(write_list, tmp_path):
    root = tmp_path / 'root'
    (root / 'image_list').mkdir(parents=True)
    beside = write_list('x', 'Real World_train.txt')
    assert find_list(root, 'Real World_train.txt') == beside
    assert find_list(root, 'real_world_train.txt') == beside
    assert find_list(tmp_path / 'no', str(beside)) == beside
    with pytest.raises(UserError, match="list_file: .*'image_list/Clipart.tx"):
        find_list(root, 'image_list/Clipart.txt')
    # As on DomainNet's page, without the folder that most code has them in.
    bare = root / 'clipart.txt'
    bare.write_text('x')
    assert find_list(root, 'image_list/Clipart.txt') == bare
    inside = root / 'image_list' / 'clipart.txt'
    inside.write_text('x')
    assert find_list(root, 'image_list/Clipart.txt') == inside
    below = root / 'Real World_train.txt'
    below.write_text('x')
    assert find_list(root, 'real-world_train.txt') == below
    (root / 'real_world_train.txt').touch()
    with pytest.raises(UserError, match="list_file: .*'Real World_train.txt'"):
        find_list(root, 'real-world_train.txt')


def test_missing_image_is_named_with_its_line(write_list, tmp_path, touch):
    path = write_list('a/1.png 0\n\na/2.png 0\nb/1.png 1\n')
    touch(tmp_path, 'a/1.png', 'a/2.png')
    lines = read_list(path)
    check_images(tmp_path, lines[:2])
    with pytest.raises(UserError, match='line 4: .*b/1.png'):
        check_images(tmp_path, lines)
    (tmp_path / 'a' / '2.png').unlink()
    with pytest.raises(UserError, match="line 3: .*a/2.png.*'1.png'"):
        check_images(tmp_path, lines)


def test_paths_are_relative_to_the_root_or_the_list(
    write_list, tmp_path, touch
):
    root = tmp_path / 'root'
    (root / 'a').mkdir(parents=True)
    lines = read_list(write_list('a/1.png 0\na/2.png 0'))
    assert image_base(root, lines) == root
    touch(tmp_path, 'a/2.png')
    assert image_base(root, lines) == tmp_path
    touch(root, 'a/1.png')
    assert image_base(root, lines) == root


def names(*pairs):
    lines = [
        ListLine(Path('list.txt'), number, f'{name}/x.jpg', label)
        for number, (name, label) in enumerate(pairs, start=1)
    ]
    return class_names(lines)


def test_classes_are_the_folders_in_either_sorted_order():
    assert names(('Bike', 0), ('apple', 1)) == ['Bike', 'apple']
    assert names(('apple', 0), ('Bike', 1)) == ['apple', 'Bike']
    assert names(('cello', 0), ('cell_phone', 1), ('cello', 0)) == [
        'cello',
        'cell_phone',
    ]


@pytest.mark.parametrize(
    'pairs, named',
    [
        ([('b', 0), ('a', 1)], "line 1: .*'a' for 0, got 'b'"),
        ([('a', 0), ('b', 1), ('b', 2)], "line 3: .*2 for 'b'"),
        ([('a', 0), ('b', 1), ('c', 1)], "line 3: .*1 for 'c'"),
        ([('a', 0), ('b', 2)], 'line 2: .*0 to 1.*2'),
        ([('a', 0), ('', 1)], 'line 2: .*classes_from'),
        ([('a', 0), ('trunk01', 1)], 'line 2: .*classes_from'),
    ],
)
def test_labels_that_do_not_fit_the_folders_are_named(pairs, named):
    with pytest.raises(UserError, match=f'list.txt, {named}'):
        names(*pairs)
