import io
import stat
import tarfile
import zipfile

import pytest

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
        for name, content in {'.': None, **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content or b'')
            member.type = tarfile.DIRTYPE if content is None else b'0'
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


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize(
    'name', ['../x', '/x', 'PACS/../../x', 'PACS/..', '..\\x', 'C:/x']
)
def test_path_that_leads_outside_is_refused(tmp_path, suffix, name):
    archive = pack(tmp_path / f'a{suffix}', {**FILES, name: b'evil'})
    with pytest.raises(UserError) as refused:
        unpack(archive, tmp_path / 'inner' / 'root')
    assert repr(name) in str(refused.value)
    assert files_below(tmp_path) == {archive.name: archive.read_bytes()}


def test_links_are_not_followed(tmp_path):
    archive, root = tmp_path / 'a.tar', tmp_path / 'root'
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        with tarfile.open(archive, 'w') as packed:
            member = tarfile.TarInfo('PACS')
            member.type, member.linkname = kind, '/etc/hostname'
            packed.addfile(member)
        with pytest.raises(UserError, match='a.tar: .*PACS'):
            unpack(archive, root)
        assert list(root.iterdir()) == []
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as packed:
        info = zipfile.ZipInfo('PACS')
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, '/etc')
    assert unpack(tmp_path / 'a.zip', root) == ['PACS']
    # A file that says where the link led.
    assert not (root / 'PACS').is_symlink()


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_damaged_archive_is_named_and_leaves_nothing(tmp_path, suffix):
    whole = pack(tmp_path / f'a{suffix}', FILES).read_bytes()
    archive = tmp_path / f'b{suffix}'
    flipped = bytearray(whole)
    flipped[whole.find(b'1.jpg') if suffix == '.tar' else -30] ^= 255
    # The blocks of zeros that end a tar may be cut short.
    lengths = range(0, len(whole.rstrip(b'\0')), 1 + len(whole) // 60)
    for content in [*(whole[:n] for n in lengths), bytes(flipped)]:
        archive.write_bytes(content)
        with pytest.raises(UserError, match=f'b{suffix}: '):
            unpack(archive, tmp_path / 'root')
        assert list((tmp_path / 'root').iterdir()) == []
    with pytest.raises(UserError, match='file'):
        unpack(pack(archive, FILES), tmp_path / f'a{suffix}' / 'file')


def test_something_in_the_way_is_named(tmp_path):
    archive = pack(tmp_path / 'a.zip', {'new/1': b'', 'old/1': b''})
    root = tmp_path / 'root'
    (root / 'old').mkdir(parents=True)
    with pytest.raises(UserError, match='a.zip: .*old'):
        unpack(archive, root)
    assert [path.name for path in root.iterdir()] == ['old']


def test_which_archives_belong(tmp_path, touch):
    touch(
        tmp_path,
        'OfficeHomeDataset_10072016.zip',
        'office-home.tar.gz',
        'mine.tgz',
        'PACS.zip',
        'officehome.txt',
        'mine/any.tar',
        'mine/notes.txt',
        'mine/.hidden.zip',
    )
    root = tmp_path / 'mine'
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
