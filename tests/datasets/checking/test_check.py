import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmkd_custom.datasets.checking.check import check_domain_folder
from mmkd_custom.errors import UserError


@pytest.fixture
def two_domains(tmp_path, write_image):
    """Gives a root with 'Art' (4 a class) and 'Real World' (5 a class)."""
    root, seed = tmp_path / 'root', 0
    for domain, count in (('Art', 4), ('Real World', 5)):
        for name in ('apple', 'Bike', 'cat'):
            for number in range(count):
                path = root / domain / name / f'im {number}.png'
                # No image is there twice.
                seed += 1
                write_image(path, seed=seed)
    return str(root)


@pytest.fixture
def damaged(two_domains, write_image):
    """Breaks two images and two class folders of a sound root."""
    root = Path(two_domains)
    truncated = root / 'Art' / 'cat' / 'photo.jpg'
    write_image(truncated, size=(64, 64))
    truncated.write_bytes(truncated.read_bytes()[:-500])
    (root / 'Art' / 'cat' / 'im 0.png').write_bytes(b'no image')
    (root / 'Art' / 'dog').mkdir()
    (root / 'Art' / 'cat' / 'Thumbs.db').touch()
    write_image(root / 'Art' / 'stray.png')
    return root


def test_sound_folder(two_domains):
    report = check_domain_folder(two_domains, workers=1)
    assert report.counts == {
        'Art': dict(Bike=4, apple=4, cat=4),
        'Real World': dict(Bike=5, apple=5, cat=5),
    }
    assert report.problems() == [] and report.ignored == []
    assert '15 images in 3 classes' in report.summary()


@pytest.mark.parametrize('workers', [1, 2])
def test_every_problem_is_found(damaged, workers):
    report = check_domain_folder(damaged, workers=workers)
    art = damaged / 'Art' / 'cat'
    assert set(report.unreadable) == {
        str(art / 'im 0.png'),
        str(art / 'photo.jpg'),
    }
    assert 'truncated' in report.unreadable[str(art / 'photo.jpg')]
    assert report.empty_classes == ['Art/dog']
    assert report.missing_classes == ['Real World/dog']
    assert report.ignored == ['Art/cat/Thumbs.db', 'Art/stray.png']
    assert report.counts['Art'] == dict(Bike=4, apple=4, cat=5, dog=0)
    assert len(report.problems()) == 4


def test_format_that_opencv_cannot_read(two_domains):
    path = Path(two_domains) / 'Art' / 'cat' / 'im 0.png'
    Image.new('RGB', (8, 8)).save(path, format='PCX')
    report = check_domain_folder(two_domains, workers=1)
    assert report.unreadable == {
        str(path): 'OpenCV cannot decode the format PCX'
    }


def copy(root, source, target):
    target = Path(root, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(Path(root, source).read_bytes())


def test_duplicates(two_domains):
    copy(two_domains, 'Art/cat/im 0.png', 'Art/cat/again.png')
    copy(two_domains, 'Art/cat/im 1.png', 'Real World/cat/x.png')
    copy(two_domains, 'Art/cat/im 2.png', 'Art/apple/x.png')
    copy(two_domains, 'Art/cat/im 3.png', 'Real World/Bike/y.png')
    report = check_domain_folder(two_domains, workers=1)
    assert {(d.kind, tuple(d.paths)) for d in report.duplicates} == {
        ('within a class', ('Art/cat/again.png', 'Art/cat/im 0.png')),
        ('across domains', ('Art/cat/im 1.png', 'Real World/cat/x.png')),
        ('label conflict', ('Art/apple/x.png', 'Art/cat/im 2.png')),
        ('label conflict', ('Art/cat/im 3.png', 'Real World/Bike/y.png')),
    }
    assert len(report.problems()) == 3
    assert report.notes() == [
        'Art/cat/again.png is the same image as Art/cat/im 0.png, in one class'
    ]
    content = json.loads(json.dumps(report.to_dict()))
    assert content['problems'] == report.problems()
    assert {d['kind'] for d in content['duplicates']} == {
        'within a class',
        'across domains',
        'label conflict',
    }
    assert content['duplicates'][0]['size'] == [20, 16]


def test_official_layouts(tmp_path, write_image):
    # Office-31 puts a folder between, VisDA's test has no classes, and PACS
    # lies in a folder of its own beside others.
    for seed, name in enumerate(('a', 'b')):
        write_image(tmp_path / 'x/kfold/amazon/images' / name / '1.jpg', seed)
        write_image(
            tmp_path / 'x/kfold/webcam/images' / name / '1.jpg', seed + 5
        )
    write_image(tmp_path / 'x/kfold/test/trunk01/1.jpg', 9)
    copy(
        tmp_path, 'x/kfold/amazon/images/a/1.jpg', 'x/kfold/test/trunk02/2.jpg'
    )
    (tmp_path / 'x' / 'splits').mkdir()
    report = check_domain_folder(tmp_path / 'x', workers=1)
    assert report.counts == dict(
        amazon=dict(a=1, b=1),
        webcam=dict(a=1, b=1),
        test=dict(trunk01=1, trunk02=1),
    )
    assert report.missing_classes == []
    (duplicate,) = report.duplicates
    assert duplicate.kind == 'across domains'


def test_chosen_domains_only(damaged):
    report = check_domain_folder(damaged, ['real_world'], workers=1)
    assert list(report.counts) == ['Real World']
    assert report.problems() == []


def test_domain_without_classes(damaged):
    (damaged / 'Empty').mkdir()
    report = check_domain_folder(damaged, workers=1)
    assert report.empty_domains == ['Empty']
    assert "domain 'Empty' holds no class folder" in report.problems()


def test_refused_folders(tmp_path, two_domains):
    with pytest.raises(UserError, match='DATA_ROOT'):
        check_domain_folder(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='no domain folder'):
        check_domain_folder(tmp_path / 'empty')
    with pytest.raises(UserError, match="'Sketch' is unknown"):
        check_domain_folder(two_domains, ['Sketch'])


def test_tool_on_a_sound_folder(
    repo, two_domains, tmp_path, monkeypatch, capsys
):
    report = tmp_path / 'report.json'
    tool = str(repo / 'tools' / 'check_dataset.py')
    monkeypatch.setattr(
        sys,
        'argv',
        [tool, two_domains, '--workers', '1', '--json', str(report)],
    )
    with pytest.raises(SystemExit) as done:
        runpy.run_path(tool, run_name='__main__')
    assert done.value.code == 0
    assert 'every image can be read' in capsys.readouterr().out
    assert json.loads(report.read_text())['counts']['Art']['cat'] == 4


def test_tool_on_a_damaged_folder(repo, damaged):
    done = subprocess.run(
        [
            sys.executable,
            str(repo / 'tools' / 'check_dataset.py'),
            str(damaged),
            '--workers',
            '1',
        ],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(repo)),
    )
    assert done.returncode == 2
    errors = [
        line for line in done.stderr.splitlines() if line.startswith('error:')
    ]
    assert len(errors) == 1 and '4 problem(s)' in errors[0]
    assert 'Traceback' not in done.stderr
    for name in ('im 0.png', 'photo.jpg', 'Art/dog', 'Real World/dog'):
        assert name in done.stdout


def test_no_progress_without_a_terminal(two_domains, capsys):
    check_domain_folder(two_domains, workers=1)
    assert capsys.readouterr() == ('', '')


def test_real_images(pacs_root):
    report = check_domain_folder(pacs_root)
    assert report.problems() == []
    assert set(report.counts) == {'art_painting', 'photo'}
    total = sum(sum(counts.values()) for counts in report.counts.values())
    assert total == len(list(pacs_root.glob('*/*/*.jpg')))
