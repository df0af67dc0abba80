import json
from pathlib import Path

import pytest

from mmkd_custom.datasets.checking.check import check_domain_folder
from mmkd_custom.errors import UserError


@pytest.fixture
def sound(tmp_path, write_image):
    """Returns a root with 'Art' (4 a class) and 'Real World' (5 a class)."""
    root, seed = tmp_path / 'root', 0
    for domain, count in (('Art', 4), ('Real World', 5)):
        for name in ('apple', 'Bike', 'cat'):
            for number in range(count):
                # No image is there twice.
                seed += 1
                write_image(root / domain / name / f'im {number}.png', seed)
    return root


@pytest.fixture
def damaged(sound, write_image, touch):
    """Breaks two images and two class folders of a sound root."""
    truncated = sound / 'Art' / 'cat' / 'photo.jpg'
    write_image(truncated, size=(64, 64))
    truncated.write_bytes(truncated.read_bytes()[:-500])
    (sound / 'Art' / 'cat' / 'im 0.png').write_bytes(b'no image')
    (sound / 'Art' / 'dog').mkdir()
    touch(sound, 'Art/cat/Thumbs.db')
    write_image(sound / 'Art' / 'stray.png')
    return sound


def test_sound_folder(sound, capsys):
    report = check_domain_folder(sound, workers=1)
    assert report.counts == {
        'Art': dict(Bike=4, apple=4, cat=4),
        'Real World': dict(Bike=5, apple=5, cat=5),
    }
    assert report.problems() == report.notes() == []
    assert '15 images in 3 classes' in report.summary()
    out, err = capsys.readouterr()
    # Without a terminal a line of what was read.
    assert out == '' and len(err.splitlines()) == 1 and '27/27' in err


@pytest.mark.parametrize('workers', [1, 2])
def test_every_problem_is_found(damaged, workers):
    (damaged / 'Empty').mkdir()
    report = check_domain_folder(damaged, workers=workers)
    art = damaged / 'Art' / 'cat'
    unreadable = {str(art / 'im 0.png'), str(art / 'photo.jpg')}
    assert set(report.unreadable) == unreadable
    assert report.counts['Art'] == dict(Bike=4, apple=4, cat=5, dog=0)
    assert report.details == dict(
        root=str(damaged),
        empty_domains=['Empty'],
        missing_classes=['Real World/dog'],
        empty_classes=['Art/dog'],
        ignored=['Art/cat/Thumbs.db', 'Art/stray.png'],
    )
    assert len(report.problems()) == 5
    found = '\n'.join(report.problems())
    for name in ("'Empty'", 'Real World/dog', 'Art/dog', *unreadable):
        assert name in found
    content = json.loads(json.dumps(report.to_dict()))
    assert content['problems'] == report.problems()
    assert content['empty_classes'] == ['Art/dog']
    chosen = check_domain_folder(damaged, ['real_world'], workers=1)
    assert list(chosen.counts) == ['Real World']
    assert chosen.problems() == []


def copy(root, source, target):
    target = Path(root, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(Path(root, source).read_bytes())


def test_duplicates(sound):
    copy(sound, 'Art/cat/im 0.png', 'Art/cat/again.png')
    copy(sound, 'Art/cat/im 1.png', 'Real World/cat/x.png')
    copy(sound, 'Art/cat/im 2.png', 'Art/apple/x.png')
    copy(sound, 'Art/cat/im 3.png', 'Real World/Bike/y.png')
    report = check_domain_folder(sound, workers=1)
    assert {(d['kind'], *d['paths']) for d in report.duplicates} == {
        ('within a class', 'Art/cat/again.png', 'Art/cat/im 0.png'),
        ('across domains', 'Art/cat/im 1.png', 'Real World/cat/x.png'),
        ('label conflict', 'Art/apple/x.png', 'Art/cat/im 2.png'),
        ('label conflict', 'Art/cat/im 3.png', 'Real World/Bike/y.png'),
    }
    assert len(report.problems()) == 3
    (note,) = report.notes()
    assert 'Art/cat/again.png' in note and 'Art/cat/im 0.png' in note
    assert report.to_dict()['duplicates'][0]['size'] == (20, 16)


def test_official_layouts(tmp_path, write_image):
    # Office-31 puts a folder between, VisDA's test has no classes, and PACS
    # lies in a folder of its own beside others.
    inner = tmp_path / 'x' / 'kfold'
    for seed, name in enumerate(('a', 'b')):
        write_image(inner / 'amazon/images' / name / '1.jpg', seed)
        write_image(inner / 'webcam/images' / name / '1.jpg', seed + 5)
    write_image(inner / 'test/trunk01/1.jpg', 9)
    copy(inner, 'amazon/images/a/1.jpg', 'test/trunk02/2.jpg')
    (tmp_path / 'x' / 'splits').mkdir()
    report = check_domain_folder(tmp_path / 'x', workers=1)
    assert report.counts == dict(
        amazon=dict(a=1, b=1),
        webcam=dict(a=1, b=1),
        test=dict(trunk01=1, trunk02=1),
    )
    assert report.details['missing_classes'] == []
    assert [d['kind'] for d in report.duplicates] == ['across domains']


def test_refused_folders(tmp_path, sound):
    (tmp_path / 'empty').mkdir()
    for root, domains, named in (
        (tmp_path / 'nowhere', None, 'data_root: .*nowhere'),
        (tmp_path / 'empty', None, 'data_root: .*empty'),
        (sound, ['Sketch'], "'Sketch'"),
    ):
        with pytest.raises(UserError, match=named):
            check_domain_folder(root, domains)


def test_real_images(pacs_root):
    report = check_domain_folder(pacs_root)
    assert report.problems() == []
    assert set(report.counts) == {'art_painting', 'photo'}
    total = sum(sum(counts.values()) for counts in report.counts.values())
    assert total == len(list(pacs_root.glob('*/*/*.jpg')))
