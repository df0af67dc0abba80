import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmkd_custom.datasets import check_domain_folder
from mmkd_custom.errors import UserError


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
