from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmkd_custom.datasets.checking.prepare import prepare
from mmkd_custom.datasets.checking.protocols import find_protocol
from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.domain_list import DomainList
from mmkd_custom.datasets.subset import split_digest
from mmkd_custom.datasets.two_stream.dataset import TwoStreamDataset
from mmkd_custom.errors import UserError
from tests.datasets.checking.test_archives import pack
from tests.datasets.test_cifar import write_cifar100

IMAGES = [
    ''.join(chr(97 + number // 26**power % 26) for power in (2, 1, 0))
    for number in range(1000)
]


def classes_of(name):
    return IMAGES[: find_protocol(name).num_classes]


def write_tree(root, name, per_class=2, inner='', parts=None):
    """A protocol's class folders, each image a real JPEG."""
    Path(root).mkdir(parents=True, exist_ok=True)
    image = Path(root) / 'image.jpg'
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(image)
    content = image.read_bytes()
    image.unlink()
    for part in parts or find_protocol(name).parts:
        for label in classes_of(name):
            folder = Path(root) / part / inner / label
            folder.mkdir(parents=True)
            for number in range(per_class):
                (folder / f'{number}.jpg').write_bytes(content)
    return root


def write_lists(root, domains):
    """DomainNet's lists over a tree of write_tree, one image a class each."""
    (root / 'image_list').mkdir()
    for domain in domains:
        for number, split in enumerate(('train', 'test')):
            lines = [
                f'{domain}/{name}/{number}.jpg {label}'
                for label, name in enumerate(classes_of('domainnet'))
            ]
            file = root / 'image_list' / f'{domain}_{split}.txt'
            file.write_text('\n'.join(lines))


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
    assert len({part.sha256 for part in found.parts}) == 4


def test_several_domains_as_one(tmp_path):
    root = str(write_tree(tmp_path / 'PACS', 'pacs'))
    (part,) = prepare('pacs', root, domain='photo,sketch').parts
    assert sum(part.counts.values()) == 28
    both = DomainFolder(root, 'photo,sketch')
    assert part.sha256 == split_digest(both)


def test_written_splits_are_read_as_lists(tmp_path):
    root = str(write_tree(tmp_path / 'PACS', 'pacs'))
    out = tmp_path / 'lists'
    found = prepare('pacs', root, labels_per_class=1, out=str(out))
    assert sorted(path.name for path in out.iterdir()) == [
        'art_painting.txt',
        'cartoon.txt',
        'photo.txt',
        'sketch.txt',
    ]
    for part in found.parts:
        listed = DomainList(root, str(out / '{domain}.txt'), part.name)
        assert split_digest(listed) == part.sha256
    (tmp_path / 'file').touch()
    found = prepare('pacs', root, out=str(tmp_path / 'file'))
    assert 'cannot be written' in found.problems[0]


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


def test_visda_without_and_with_its_test(tmp_path):
    write_tree(tmp_path, 'visda', parts=('train', 'validation'))
    found = prepare('visda', str(tmp_path))
    assert [part.name for part in found.parts] == ['train', 'validation']
    assert found.problems == []
    assert 'reported: mean of the per-class accuracies' in found.lines()
    (tmp_path / 'test' / 'trunk00').mkdir(parents=True)
    (tmp_path / 'test' / 'trunk00' / '1.jpg').touch()
    (tmp_path / 'test' / 'image_list.txt').write_text('trunk00/1.jpg 11\n')
    found = prepare('visda', str(tmp_path))
    assert found.problems == []
    assert found.parts[2].counts == dict.fromkeys(
        classes_of('visda')[:11], 0
    ) | {classes_of('visda')[11]: 1}


def test_domainnet(tmp_path):
    domains = find_protocol('domainnet').parts
    write_tree(tmp_path, 'domainnet', parts=domains[:2])
    write_lists(tmp_path, domains[:2])
    found = prepare('domainnet', str(tmp_path), domain='infograph')
    assert found.problems == []
    assert [part.name for part in found.parts] == [
        'infograph train',
        'infograph test',
    ]
    assert {sum(part.counts.values()) for part in found.parts} == {345}
    train = DomainList(str(tmp_path), domain='infograph')
    assert found.parts[0].sha256 == split_digest(train)
    found = prepare('domainnet', str(tmp_path))
    assert len(found.parts) == 4 and len(found.problems) == 8
    assert "painting train: list_file: 'image_list/pain" in found.problems[0]


def test_cifar(tmp_path):
    write_cifar100(tmp_path)
    found = prepare(
        'cifar100', str(tmp_path), labels_per_class=4, out=str(tmp_path)
    )
    train, test = found.parts
    assert found.problems == []
    assert set(train.kept.values()) == {4} and set(train.counts.values()) == {
        8
    }
    assert test.kept == test.counts
    written = (tmp_path / 'train.txt').read_text().splitlines()
    assert len(written) == 401 and train.sha256 in written[0]
    assert not (tmp_path / 'test.txt').exists()


def test_imagenet(tmp_path):
    for split, count in (('train', 2), ('val', 1)):
        for name in IMAGES:
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                (tmp_path / split / name / f'{name}_{number}.JPEG').touch()
    drawn = prepare('imagenet', str(tmp_path), fraction=0.5)
    assert drawn.problems == []
    assert sum(drawn.parts[0].kept.values()) == 1000
    assert sum(drawn.parts[0].counts.values()) == 2000
    (tmp_path / 'few.txt').write_text(f'{IMAGES[0]}_0.JPEG\n')
    few = prepare('imagenet', str(tmp_path), ann_file='few.txt')
    assert sum(few.parts[0].kept.values()) == 1
    assert few.parts[0].sha256 != drawn.parts[0].sha256


def test_what_is_missing_is_said(tmp_path):
    root = tmp_path / 'data'
    found = prepare('pacs', str(root))
    assert found.problems == [f'{root} is no existing folder']
    assert 'https://domaingeneralization.github.io' in found.where_from()
    write_tree(root, 'pacs', parts=('photo', 'cartoon'))
    (root / 'photo' / 'dog').mkdir()
    found = prepare('pacs', str(root))
    assert [part.name for part in found.parts] == ['cartoon']
    art, photo, sketch = found.problems
    assert art.startswith("art_painting: domain 'art_painting' is unknown")
    assert photo.startswith("photo: class 'dog' is in domain 'photo' only")
    assert sketch.startswith("sketch: domain 'sketch' is unknown")


def test_number_of_classes_is_checked(tmp_path):
    write_tree(tmp_path, 'pacs', parts=find_protocol('officehome').parts)
    found = prepare('officehome', str(tmp_path))
    assert len(found.parts) == len(found.problems) == 4
    assert 'holds 7 classes, but OfficeHome has 65' in found.problems[0]


def test_archive_beside_the_folder(tmp_path):
    write_tree(tmp_path / 'tree', 'pacs')
    files = {
        f'PACS/{path.relative_to(tmp_path / "tree")}': path.read_bytes()
        for path in (tmp_path / 'tree').rglob('*.jpg')
    }
    archive = pack(tmp_path / 'PACS.zip', files)
    root = tmp_path / 'data'
    found = prepare('pacs', str(root))
    assert f'{archive} is still packed' in found.problems[-1]
    assert not root.exists()
    found = prepare('pacs', str(root), unpack_archives=True)
    assert found.problems == [] and len(found.parts) == 4
    assert found.notes == [f'unpacked {archive}: PACS']
    assert found.parts[0].sha256 == split_digest(
        DomainFolder(str(tmp_path / 'tree'), 'art_painting')
    )


def test_archives_of_imagenet_are_not_unpacked(tmp_path):
    archive = pack(
        tmp_path / 'ILSVRC2012_img_train.tar', {'n01440764.tar': b'x'}
    )
    found = prepare('imagenet', str(tmp_path), unpack_archives=True)
    assert f'{archive} is still packed and holds no' in found.problems[-1]
    assert list(tmp_path.iterdir()) == [archive]


def test_note_names_the_root_of_a_written_list(tmp_path):
    write_tree(tmp_path / 'kfold', 'pacs', per_class=1)
    found = prepare('pacs', str(tmp_path), domain='photo', out=str(tmp_path))
    file = tmp_path / 'photo.txt'
    inner = str(tmp_path / 'kfold')
    assert found.notes == [f'written {file}, whose paths are below {inner}']
    listed = DomainList(inner, str(file))
    assert split_digest(listed) == found.parts[0].sha256


def test_refused_options(tmp_path):
    for name, options, message in (
        ('cifar10', dict(domain='x'), 'CIFAR-10 has no domains'),
        ('pacs', dict(ann_file='x.txt'), 'list of ImageNet images'),
        ('nothing', dict(), 'no data protocol'),
    ):
        with pytest.raises(UserError, match=message):
            prepare(name, str(tmp_path), **options)


def test_default_root(tmp_path, monkeypatch):
    monkeypatch.delenv('DATA_ROOT', raising=False)
    assert str(prepare('officehome').root) == 'data/OfficeHome'
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    assert prepare('officehome').root == tmp_path
