from pathlib import Path

import pytest

from mmkd_custom.datasets.checking.prepare import prepare
from mmkd_custom.datasets.checking.protocols import find_protocol
from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.domain_list import DomainList
from mmkd_custom.datasets.imagenet import ImageNetSubset
from mmkd_custom.datasets.subset import split_digest
from mmkd_custom.datasets.two_stream.dataset import TwoStreamDataset
from mmkd_custom.errors import UserError
from tests.datasets.checking.test_archives import pack


def write_tree(root, name, per_class=2, inner='', parts=None):
    """A protocol's class folders and empty images."""
    protocol = find_protocol(name)
    for part in parts or protocol.parts:
        for label in range(protocol.num_classes):
            folder = Path(root) / part / inner / f'class {label:03}'
            folder.mkdir(parents=True)
            for number in range(per_class):
                (folder / f'{number}.jpg').touch()
    return root


@pytest.fixture
def pacs(tmp_path):
    return write_tree(tmp_path / 'PACS', 'pacs')


def test_digest_is_that_of_a_run(tmp_path):
    root = str(write_tree(tmp_path / 'PACS', 'pacs', per_class=4))
    options = dict(labels_per_class=2, seed=3)
    found = prepare('pacs', root, **options)
    assert found.problems == []
    assert [part.name for part in found.parts] == [
        'art_painting',
        'cartoon',
        'photo',
        'sketch',
    ]
    for part in found.parts:
        assert set(part.counts.values()) == {4}
        assert set(part.kept.values()) == {2}
        run = TwoStreamDataset(
            DomainFolder(root, part.name, pipeline=[], **options),
            DomainFolder(root, 'photo', classes_from=part.name),
        )
        assert part.sha256 == run.split_sha256
    (both,) = prepare('pacs', root, domain='photo,sketch').parts
    assert both.sha256 == split_digest(DomainFolder(root, 'photo,sketch'))


def test_written_splits_are_read_as_lists(tmp_path, pacs):
    # Below the folder that the note names.
    inner = pacs.rename(tmp_path / 'kfold')
    out = tmp_path / 'lists'
    found = prepare('pacs', str(tmp_path), labels_per_class=1, out=str(out))
    for part, note in zip(found.parts, found.notes):
        assert str(out / f'{part.name}.txt') in note and str(inner) in note
        listed = DomainList(str(inner), str(out / '{domain}.txt'), part.name)
        assert split_digest(listed) == part.sha256
    found = prepare('pacs', str(tmp_path), out=str(out / 'photo.txt'))
    assert '--out' in found.problems[0]


@pytest.mark.parametrize(
    'name, inner, outer',
    [('office31', 'images', ''), ('officehome', '', 'kfold')],
)
def test_official_layouts(tmp_path, name, inner, outer):
    write_tree(tmp_path / outer, name, per_class=1, inner=inner)
    found = prepare(name, str(tmp_path))
    assert found.problems == []
    counts = {len(part.counts) for part in found.parts}
    assert counts == {find_protocol(name).num_classes}


def test_visda_without_and_with_its_test(tmp_path, touch):
    write_tree(tmp_path, 'visda', parts=('train', 'validation'))
    found = prepare('visda', str(tmp_path))
    assert [part.name for part in found.parts] == ['train', 'validation']
    assert found.problems == []
    assert any('per-class' in line for line in found.lines())
    touch(tmp_path, 'test/trunk00/1.jpg')
    (tmp_path / 'test' / 'image_list.txt').write_text('trunk00/1.jpg 11\n')
    found = prepare('visda', str(tmp_path))
    assert found.problems == []
    assert list(found.parts[2].counts.values()) == [0] * 11 + [1]


def test_domainnet(tmp_path):
    domains = find_protocol('domainnet').parts[:2]
    write_tree(tmp_path, 'domainnet', parts=domains)
    (tmp_path / 'image_list').mkdir()
    for domain in domains:
        for number, split in enumerate(('train', 'test')):
            lines = [
                f'{domain}/class {label:03}/{number}.jpg {label}'
                for label in range(345)
            ]
            file = tmp_path / 'image_list' / f'{domain}_{split}.txt'
            file.write_text('\n'.join(lines))
    found = prepare('domainnet', str(tmp_path), domain='infograph')
    assert found.problems == []
    assert {part.name: len(part.counts) for part in found.parts} == {
        'infograph train': 345,
        'infograph test': 345,
    }
    train = DomainList(str(tmp_path), domain='infograph')
    assert found.parts[0].sha256 == split_digest(train)
    found = prepare('domainnet', str(tmp_path))
    assert len(found.parts) == 4 and len(found.problems) == 8
    assert found.problems[0].startswith('painting train: ')


def test_cifar(layout, tmp_path):
    root = layout('cifar100')['DATA_ROOT']
    found = prepare('cifar100', root, labels_per_class=4, out=str(tmp_path))
    train, test = found.parts
    assert found.problems == []
    assert set(train.kept.values()) == {4}
    assert set(train.counts.values()) == {6}
    assert test.kept == test.counts
    written = (tmp_path / 'train.txt').read_text().splitlines()
    assert len(written) == 401 and train.sha256 in written[0]
    assert not (tmp_path / 'test.txt').exists()


def test_imagenet(tmp_path, touch):
    for label in range(1000):
        name = f'class_{label:03}'
        touch(tmp_path / 'train', *(f'{name}/{name}_{n}.JPEG' for n in '01'))
        touch(tmp_path / 'val', f'{name}/x.JPEG')
    drawn = prepare('imagenet', str(tmp_path), fraction=0.5)
    assert drawn.problems == []
    assert sum(drawn.parts[0].kept.values()) == 1000
    assert sum(drawn.parts[0].counts.values()) == 2000
    (tmp_path / 'few.txt').write_text('class_007_1.JPEG\n')
    few = prepare('imagenet', str(tmp_path), ann_file='few.txt')
    listed = ImageNetSubset(str(tmp_path), ann_file='few.txt')
    assert few.parts[0].sha256 == split_digest(listed)


def test_what_is_missing_is_named(tmp_path, pacs):
    nowhere = prepare('pacs', str(tmp_path / 'data'))
    assert str(tmp_path / 'data') in nowhere.problems[0]
    assert find_protocol('pacs').page in nowhere.where_from()
    for name in ('art_painting', 'sketch'):
        (pacs / name).rename(tmp_path / name)
    (pacs / 'photo' / 'dog').mkdir()
    found = prepare('pacs', str(pacs))
    assert [part.name for part in found.parts] == ['cartoon']
    art, photo, sketch = found.problems
    assert art.startswith('art_painting: ')
    assert photo.startswith('photo: ') and "'dog'" in photo
    assert sketch.startswith('sketch: ')


def test_number_of_classes_is_checked(tmp_path):
    write_tree(tmp_path, 'pacs', parts=find_protocol('officehome').parts)
    found = prepare('officehome', str(tmp_path))
    assert len(found.parts) == len(found.problems) == 4
    assert '7 classes' in found.problems[0] and '65' in found.problems[0]


def test_archive_beside_the_folder(tmp_path, pacs):
    images = (path.relative_to(tmp_path) for path in pacs.rglob('*.jpg'))
    files = {path.as_posix(): b'' for path in images}
    archive = pack(tmp_path / 'PACS.zip', files)
    root = tmp_path / 'data'
    found = prepare('pacs', str(root))
    assert f'{archive} is still packed' in found.problems[-1]
    assert not root.exists()
    found = prepare('pacs', str(root), unpack_archives=True)
    assert found.problems == [] and len(found.parts) == 4
    assert found.notes == [f'unpacked {archive}: PACS']
    expected = split_digest(DomainFolder(str(pacs), 'art_painting'))
    assert found.parts[0].sha256 == expected


def test_archives_of_imagenet_are_not_unpacked(tmp_path):
    archive = pack(
        tmp_path / 'ILSVRC2012_img_train.tar', {'n01440764.tar': b'x'}
    )
    found = prepare('imagenet', str(tmp_path), unpack_archives=True)
    assert f'{archive} is still packed' in found.problems[-1]
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize(
    'name, options, named',
    [
        ('cifar10', dict(domain='x'), '--domain: .*CIFAR-10'),
        ('pacs', dict(ann_file='x.txt'), '--list: .*pacs'),
    ],
)
def test_options_refused(tmp_path, name, options, named):
    with pytest.raises(UserError, match=named):
        prepare(name, str(tmp_path), **options)


def test_default_root(tmp_path, monkeypatch):
    monkeypatch.delenv('DATA_ROOT', raising=False)
    assert str(prepare('officehome').root) == 'data/OfficeHome'
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    assert prepare('officehome').root == tmp_path
