import pytest

from mmkd_custom.datasets.lists import (
    check_images,
    find_list,
    image_base,
    read_list,
)
from mmkd_custom.errors import UserError


@pytest.fixture
def write_list(tmp_path):
    def write(text, name='list.txt'):
        path = tmp_path / name
        path.write_bytes(text.encode())
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
    'line, got',
    [
        ('a/x.jpg', 'no label'),
        ('7', 'no label'),
        ('a/my pic.jpg', r"no number \('pic.jpg'\)"),
        ('a/x.jpg 1.0', r"no number \('1.0'\)"),
        ('a/x.jpg 1_0', r"no number \('1_0'\)"),
        ('a/x.jpg ٣', 'no number'),
    ],
)
def test_line_without_a_label_is_named(write_list, line, got):
    path = write_list(f'# c\na/x.jpg 0\n\n{line}\n')
    with pytest.raises(UserError, match=f'{path}, line 4: .*{got}'):
        read_list(path)


def test_refused_files(write_list, tmp_path):
    with pytest.raises(UserError, match='names no image'):
        read_list(write_list('# only a comment\n'))
    (tmp_path / 'list.txt').write_bytes(b'\xff\xd8\xff\xe0')
    with pytest.raises(UserError, match='list.txt: cannot be read'):
        read_list(tmp_path / 'list.txt')
    with pytest.raises(UserError, match='none.txt: cannot be read'):
        read_list(tmp_path / 'none.txt')


def test_list_below_or_beside_the_root(write_list, tmp_path):
    root = tmp_path / 'root'
    (root / 'image_list').mkdir(parents=True)
    beside = write_list('x', 'Real World_train.txt')
    assert find_list(root, 'Real World_train.txt') == beside
    assert find_list(root, 'real_world_train.txt') == beside
    assert find_list(tmp_path / 'no', str(beside)) == beside
    with pytest.raises(UserError, match='no file below'):
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
    with pytest.raises(UserError, match="nearest: 'Real World_train.txt'"):
        find_list(root, 'Real_trains.txt')
    (root / 'real_world_train.txt').touch()
    with pytest.raises(UserError, match='may be any of'):
        find_list(root, 'real-world_train.txt')


def test_missing_image_is_named_with_its_line(write_list, tmp_path):
    path = write_list('a/1.png 0\n\na/2.png 0\nb/1.png 1\n')
    (tmp_path / 'a').mkdir()
    for name in ('1.png', '2.png'):
        (tmp_path / 'a' / name).touch()
    lines = read_list(path)
    check_images(tmp_path, lines[:2])
    with pytest.raises(UserError, match='line 4: .*b/1.png does not exist'):
        check_images(tmp_path, lines)
    (tmp_path / 'a' / '2.png').unlink()
    with pytest.raises(UserError, match="line 3: .*nearest: '1.png'"):
        check_images(tmp_path, lines)


def test_paths_are_relative_to_the_root_or_the_list(write_list, tmp_path):
    root = tmp_path / 'root'
    (root / 'a').mkdir(parents=True)
    lines = read_list(write_list('a/1.png 0\na/2.png 0'))
    assert image_base(root, lines) == root
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / '2.png').touch()
    assert image_base(root, lines) == tmp_path
    (root / 'a' / '1.png').touch()
    assert image_base(root, lines) == root
