"""An export replaces an export and nothing else, whole or not at all."""

import json

import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.export.place import check_place, put_in

OURS = dict(package='mmkd_custom')


def export(out, files, source=OURS):
    out.mkdir(exist_ok=True)
    for name in files:
        (out / name).write_text('old')
    about = dict(source=source, files={name: {} for name in files})
    (out / 'metadata.json').write_text(json.dumps(about))


@pytest.mark.parametrize(
    'file', ['results.json', 'last_checkpoint', 'student.pth', 'config.py']
)
def test_what_no_export_wrote_is_kept(tmp_path, file):
    out = tmp_path / 'out'
    out.mkdir()
    (out / file).write_text('mine')
    with pytest.raises(UserError, match='--out .*out'):
        check_place(out, tmp_path)
    with pytest.raises(UserError, match='work directory'):
        check_place(out, out)


@pytest.mark.parametrize(
    'about',
    [
        'no json',
        '{"files": {"student.pth": {}}}',
        '{"source": "mmkd_custom"}',
        '{"source": {"package": "mmkd_custom"}, "files": null}',
        '{"source": {"package": "mmkd_custom"}, "files": ["student.pth"]}',
    ],
)
def test_metadata_of_others_owns_nothing(tmp_path, about):
    (tmp_path / 'student.pth').write_text('mine')
    (tmp_path / 'metadata.json').write_text(about)
    with pytest.raises(UserError, match='no export'):
        check_place(tmp_path, tmp_path / 'work')


def test_older_export_stays_until_the_new_one_is_there(tmp_path):
    out = tmp_path / 'out'
    export(out, ['student.pth', 'student.onnx', 'notes.txt'])
    check_place(out, tmp_path)
    before = sorted(out.iterdir())
    with pytest.raises(RuntimeError), put_in(out) as made:
        (made / 'student.pth').write_text('new')
        raise RuntimeError
    assert sorted(out.iterdir()) == before
    assert (out / 'student.pth').read_text() == 'old'
    with put_in(out) as made:
        for name in ('student.pth', 'metadata.json'):
            (made / name).write_text('new')
    left = {file.name: file.read_text() for file in out.iterdir()}
    # An export names its own files alone.
    assert left == {
        'student.pth': 'new',
        'metadata.json': 'new',
        'notes.txt': 'old',
    }


def test_failed_export_leaves_no_new_folder(tmp_path):
    with pytest.raises(RuntimeError), put_in(tmp_path / 'a'):
        raise RuntimeError
    assert not (tmp_path / 'a').exists()
