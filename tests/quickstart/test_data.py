import shutil

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.quickstart.data import find_data


def counts(data):
    names = ('labelled', 'unlabelled', 'test')
    return tuple(data.count(name) for name in names)


def test_domains_of_a_folder(domains):
    data = find_data(domains, labelled='Art', unlabelled='photo')
    assert data.classes == ('cat', 'dog', 'owl')
    # One of six of each class is held out, with the seed.
    assert counts(data) == (15, 18, 3)
    assert set(data.labels['test']) == {0, 1, 2}
    assert not set(data.paths['labelled']) & set(data.paths['test'])
    assert len(data.notes) == 1
    again = find_data(domains, labelled='art', unlabelled='photo')
    assert again.paths == data.paths
    other = find_data(domains, labelled='art', unlabelled='photo', seed=1)
    assert other.paths['test'] != data.paths['test']


def test_a_class_called_like_its_folder_is_not_the_data(
    domains, tmp_path, monkeypatch
):
    pets = tmp_path / 'pets'
    shutil.copytree(domains / 'art', pets / 'Pets')
    shutil.copytree(domains / 'art' / 'dog', pets / 'dog')
    monkeypatch.chdir(tmp_path)
    data = find_data('pets')
    assert data.classes == ('Pets', 'dog') and data.folders == (pets,)


def test_which_of_several_places_wins(domains, tmp_path, monkeypatch):
    root = tmp_path / 'data'
    shutil.copytree(domains / 'art', root / 'Art')
    shutil.copytree(domains / 'photo', tmp_path / 'art')
    monkeypatch.chdir(tmp_path)
    # An existing path before a name that is spelled alike.
    assert find_data(root, labelled='art').folders == (tmp_path / 'art',)
    assert find_data(root, labelled='ART').folders == (root / 'Art',)
    shutil.copytree(domains / 'photo', root / 'art')
    # A name in DATA before both.
    assert find_data(root, labelled='art').folders == (root / 'art',)


def test_a_test_set_that_is_also_unlabelled_is_told(domains):
    data = find_data(domains, labelled='art', unlabelled='photo', test='photo')
    assert counts(data) == (18, 18, 18)
    assert 'transductive' in data.notes[0]


def test_classes_alone_serve_as_unlabelled_images_too(domains):
    data = find_data(domains / 'art')
    assert counts(data) == (15, 15, 3)
    assert data.paths['unlabelled'] == data.paths['labelled']
    given = find_data(domains / 'art', test=domains / 'photo')
    assert counts(given) == (18, 18, 18)


def test_unlabelled_images_in_any_folders(domains, tmp_path):
    shutil.copytree(domains / 'photo' / 'cat', tmp_path / 'any' / 'where')
    shutil.copy(
        domains / 'art' / 'dog' / '000.jpg', tmp_path / 'any' / 'x.jpg'
    )
    data = find_data(labelled=domains / 'art', unlabelled=tmp_path / 'any')
    assert counts(data)[1] == 7
    inside = find_data(labelled=domains / 'art', unlabelled=domains)
    assert counts(inside)[1] == 36
    # 15 labelled and 3 test images are among them.
    assert len(inside.notes) == 3
    same = find_data(
        labelled=domains / 'art',
        unlabelled=domains / 'art',
        test=domains / 'photo',
    )
    assert len(same.notes) == 1 and '18 of the 18' in same.notes[0]


def test_a_csv_with_some_labels(domains, tmp_path):
    file = tmp_path / 'images.csv'
    lines = ['path,label']
    for name in ('cat', 'dog'):
        for number in range(4):
            lines.append(f'{domains}/art/{name}/{number:03d}.jpg,{name}')
    lines += [f'{domains}/photo/owl/{i:03d}.jpg,' for i in range(3)]
    file.write_text('\n'.join(lines))
    assert counts(find_data(file)) == (6, 3, 2)
    assert counts(find_data(labelled=file, unlabelled=file)) == (6, 3, 2)
    every = tmp_path / 'every.csv'
    every.write_text('\n'.join(lines[:-3]))
    assert counts(find_data(every)) == (6, 6, 2)
    assert counts(find_data(every, unlabelled=domains / 'photo'))[1] == 18


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(), 'labelled'),
        (dict(labelled='nowhere'), "labelled.*'nowhere'"),
        (dict(data='.'), "folders of folders.*'art', 'photo'"),
        (dict(data='.', labelled='arts'), "nearest: 'art'"),
        (dict(labelled='art', unlabelled='empty'), 'unlabelled'),
        (dict(labelled='empty'), 'labelled.*no images'),
        (dict(labelled='photo/cat'), '--unlabelled'),
        (dict(labelled='one'), "two classes.*'cat'"),
        (dict(labelled='odd'), "'unlabeled'"),
        (dict(labelled='art', test='other'), "test.*'fox'"),
        (dict(labelled='art', test='art'), '18 of these'),
        (dict(labelled='lone'), "two images of each class.*'dog'"),
    ],
)
def test_what_is_wrong_is_named(domains, tmp_path, monkeypatch, options, said):
    root = tmp_path / 'data'
    shutil.copytree(domains, root)
    extra = tmp_path / 'extra'
    extra.mkdir()
    (extra / 'empty').mkdir()
    cats = root / 'art' / 'cat'
    shutil.copytree(cats, extra / 'one' / 'cat')
    shutil.copytree(root / 'art', extra / 'odd')
    shutil.copytree(cats, extra / 'odd' / 'unlabeled')
    for name in ('cat', 'dog', 'fox'):
        shutil.copytree(cats, extra / 'other' / name)
    shutil.copytree(cats, extra / 'lone' / 'cat')
    (extra / 'lone' / 'dog').mkdir()
    shutil.copy(cats / '000.jpg', extra / 'lone' / 'dog')
    monkeypatch.chdir(root)
    options = {
        key: extra / value
        if (extra / value).is_dir() and value != '.'
        else value
        for key, value in options.items()
    }
    with pytest.raises(UserError, match=said):
        find_data(**options)


def test_broken_images_are_named(domains, tmp_path):
    shutil.copytree(domains, tmp_path / 'data')
    find_data(tmp_path / 'data' / 'art').check_images(1)
    broken = tmp_path / 'data' / 'art' / 'cat' / '003.jpg'
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(UserError, match='got 1 that .*003.jpg'):
        find_data(tmp_path / 'data' / 'art').check_images(1)
    file = tmp_path / 'images.csv'
    lines = [f'{i}.jpg,{name}' for i, name in enumerate(('cat', 'dog') * 2)]
    file.write_text('\n'.join(['path,label', *lines]))
    with pytest.raises(UserError, match='got 4 that .*0.jpg'):
        find_data(file).check_images(1)
    file.write_text('\n'.join(['path,label', *lines[:2] * 2]))
    with pytest.raises(UserError, match='twice'):
        find_data(file)
