import io
import os
import stat
import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from mmkd_custom.datasets.checking import archives
from mmkd_custom.datasets.checking.archives import find_archives, unpack
from mmkd_custom.errors import UserError

FILES = {'PACS/photo/dog/1.jpg': b'a' * 3000, 'PACS/photo/cat/2.jpg': b'b'}
SUFFIXES = ('.zip', '.tar', '.tar.gz', '.tgz')


def pack(path, files):
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        return path
    mode = 'w' if path.suffix == '.tar' else 'w:gz'
    with tarfile.open(path, mode) as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def files_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_unpacks_once(tmp_path, suffix):
    archive = pack(
        tmp_path / f'a{suffix}', {**FILES, '__MACOSX/PACS/._1.jpg': b'x'}
    )
    root = tmp_path / 'root'
    assert unpack(archive, root) == ['PACS']
    assert files_below(root) == FILES
    (root / 'PACS/photo/cat/2.jpg').write_bytes(b'changed')
    assert unpack(archive, root) == []
    assert (root / 'PACS/photo/cat/2.jpg').read_bytes() == b'changed'
    assert os.listdir(root) == ['PACS']


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize(
    'name',
    ['../x', '/x', 'PACS/../../x', 'PACS/..', '..\\x', 'C:/x'],
)
def test_no_path_leads_outside(tmp_path, suffix, name):
    archive = pack(tmp_path / f'a{suffix}', {**FILES, name: b'evil'})
    root = tmp_path / 'inner' / 'root'
    with pytest.raises(UserError, match='outside the folder'):
        unpack(archive, root)
    assert files_below(tmp_path) == {archive.name: archive.read_bytes()}
    assert not os.path.exists('/x')


@pytest.mark.parametrize('kind', [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_are_refused(tmp_path, kind):
    archive = tmp_path / 'a.tar'
    with tarfile.open(archive, 'w') as packed:
        member = tarfile.TarInfo('PACS')
        member.type, member.linkname = kind, '/etc/hostname'
        packed.addfile(member)
    with pytest.raises(UserError, match="'PACS' is a link"):
        unpack(archive, tmp_path / 'root')
    assert os.listdir(tmp_path / 'root') == []


def test_links_in_a_zip_are_refused(tmp_path):
    archive = tmp_path / 'a.zip'
    with zipfile.ZipFile(archive, 'w') as packed:
        info = zipfile.ZipInfo('PACS')
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, '/etc')
    with pytest.raises(UserError, match="'PACS' is a link"):
        unpack(archive, tmp_path / 'root')


def test_no_folder_to_unpack_into(tmp_path):
    archive = pack(tmp_path / 'a.zip', FILES)
    with pytest.raises(UserError, match='cannot be written to'):
        unpack(archive, archive)


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_every_truncation_is_one_sentence(tmp_path, suffix):
    whole = pack(tmp_path / f'a{suffix}', FILES).read_bytes()
    archive = tmp_path / f'b{suffix}'
    # The blocks of zeros that end a tar may be cut short.
    end = len(whole.rstrip(b'\0')) if suffix == '.tar' else len(whole)
    for length in range(0, end, 1 if end < 400 else 97):
        archive.write_bytes(whole[:length])
        with pytest.raises(UserError, match=f'b{suffix}: cannot be unpacked'):
            unpack(archive, tmp_path / 'root')
        assert os.listdir(tmp_path / 'root') == []


def test_tar_cut_off_between_two_files(tmp_path):
    whole = pack(tmp_path / 'a.tar', FILES).read_bytes()
    cut = tmp_path / 'b.tar'
    # A header of 512 bytes and six blocks of content make the first file.
    cut.write_bytes(whole[: 512 + 6 * 512])
    with pytest.raises(UserError, match='unexpected end'):
        unpack(cut, tmp_path / 'root')


def test_damaged_content(tmp_path):
    archive = tmp_path / 'a.zip'
    with zipfile.ZipFile(archive, 'w') as packed:
        packed.writestr('PACS/1.jpg', b'hello hello')
    archive.write_bytes(archive.read_bytes().replace(b'hello h', b'jello h'))
    with pytest.raises(UserError, match='truncated or damaged .*CRC'):
        unpack(archive, tmp_path / 'root')


def test_name_that_no_file_can_have(tmp_path):
    archive = tmp_path / 'a.tar'
    with tarfile.open(archive, 'w', format=tarfile.PAX_FORMAT) as packed:
        member = tarfile.TarInfo('PACS/1.jpg')
        member.pax_headers = {'path': 'PACS/1\0.jpg'}
        packed.addfile(member)
    with pytest.raises(UserError, match='a.tar: cannot be unpacked'):
        unpack(archive, tmp_path / 'root')
    assert os.listdir(tmp_path / 'root') == []


def test_something_in_the_way(tmp_path):
    archive = pack(tmp_path / 'a.zip', {'new/1': b'', 'old/1': b''})
    root = tmp_path / 'root'
    (root / 'old').mkdir(parents=True)
    with pytest.raises(UserError, match='old exists already, but other'):
        unpack(archive, root)
    assert os.listdir(root) == ['old']


def test_which_archives_belong(tmp_path):
    root = tmp_path / 'mine'
    root.mkdir()
    for name in (
        'OfficeHomeDataset_10072016.zip',
        'office-home.tar.gz',
        'mine.tgz',
        'PACS.zip',
        'officehome.txt',
    ):
        (tmp_path / name).touch()
    for name in ('any.tar', 'notes.txt', '.hidden.zip'):
        (root / name).touch()
    found = find_archives(root, ['officehome', 'OfficeHome', root.name])
    assert [path.name for path in found] == [
        'any.tar',
        'OfficeHomeDataset_10072016.zip',
        'mine.tgz',
        'office-home.tar.gz',
    ]
    assert find_archives(tmp_path / 'office home', ['PACS']) == [
        tmp_path / 'PACS.zip'
    ]


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_no_archive_fills_the_disk(tmp_path, monkeypatch, suffix):
    large = {**FILES, 'PACS/zeros.jpg': bytes(1 << 20)}
    archive = pack(tmp_path / f'a{suffix}', large)
    root = tmp_path / 'root'
    free = archives._SPARED + (1 << 19)
    monkeypatch.setattr(
        archives.shutil, 'disk_usage', lambda _: SimpleNamespace(free=free)
    )
    with pytest.raises(UserError, match='disk of .*root'):
        unpack(archive, root)
    assert os.listdir(root) == []
    free += 1 << 20
    assert unpack(archive, root) == ['PACS']


@pytest.mark.parametrize('suffix', ['.zip', '.tar.gz'])
def test_what_shrinks_a_thousandfold_is_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(archives, '_SMALL', 1 << 16)
    root = tmp_path / 'root'
    bomb = pack(tmp_path / f'a{suffix}', {'a.jpg': bytes(4 << 20)})
    with pytest.raises(UserError, match='too large to be unpacked'):
        unpack(bomb, root)
    assert os.listdir(root) == []
    # Small ones may shrink as they like.
    small = pack(tmp_path / f'b{suffix}', {'b.jpg': bytes(1 << 16)})
    assert unpack(small, root) == ['b.jpg']


def test_a_size_that_is_told_wrong_does_not_help(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, '_SMALL', 1 << 16)
    bomb = pack(tmp_path / 'a.zip', {'a.jpg': bytes(4 << 20)})
    answers = iter([[], zipfile.ZipFile(bomb).infolist()])
    monkeypatch.setattr(zipfile.ZipFile, 'infolist', lambda _: next(answers))
    with pytest.raises(UserError, match='too large to be unpacked'):
        unpack(bomb, tmp_path / 'root')
    assert os.listdir(tmp_path / 'root') == []
