"""Any number of files, some of them broken, in the memory of a batch."""

import csv
import json
import os
import shutil
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmkd_custom.errors import UserError
from mmkd_custom.prediction import predict
from mmkd_custom.prediction.files import ImageFile
from mmkd_custom.prediction.run import answers
from mmkd_custom.prediction.sheet import COUNT, Sheet
from tests.cli import call_tool
from tests.shipped_students import COLOURS, colour_student, picture

pytest.importorskip('onnxruntime')
BROKEN = ('empty.png', 'floats.tiff', 'text.png')


@pytest.fixture
def student(tmp_path):
    return colour_student(tmp_path / 'student') / 'student_uint8.onnx'


@pytest.fixture
def images(tmp_path):
    """Two of each colour in two folders, and four broken files."""
    folder = tmp_path / 'images'
    for colour in COLOURS:
        for part in 'xy':
            picture(folder / part / f'{colour}.png', colour)
    picture(folder / 'x' / 'noise.jpg', size=(200, 200))
    content = (folder / 'x' / 'noise.jpg').read_bytes()
    # OpenCV would fill the rest with grey.
    (folder / 'x' / 'noise.jpg').write_bytes(content[: len(content) // 2])
    (folder / 'y' / 'text.png').write_text('no image')
    (folder / 'y' / 'empty.png').touch()
    # Pillow reads numbers that OpenCV makes no pixels of.
    Image.new('F', (8, 8)).save(folder / 'y' / 'floats.tiff')
    return folder


def test_answers_are_written_in_order_and_broken_files_told(
    student, images, tmp_path
):
    out = {name: tmp_path / f'a.{name}' for name in ('json', 'csv')}
    summary = predict(student, [images], batch_size=2, top=2, **out)
    assert summary.counts == dict.fromkeys(COLOURS, 2)
    assert summary.broken == 4
    names = [answer.file.place for answer in summary.skipped]
    assert names == ['x/noise.jpg', *(f'y/{n}' for n in BROKEN)]
    entries = json.loads(out['json'].read_text())
    paths = [entry['image'] for entry in entries]
    assert paths == sorted(str(p) for p in images.rglob('*.*'))
    for entry in entries:
        if 'error' in entry:
            assert set(entry) == {'image', 'error'} and entry['error']
            continue
        assert entry['image'].endswith(f'/{entry["label"]}.png')
        assert list(entry['top'].values())[0] == entry['confidence']
        assert len(entry['top']) == 2 and 0.5 < entry['confidence'] < 1
    with open(out['csv'], newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['image'] for row in rows] == paths
    assert [row['label'] for row in rows] == [
        entry.get('label', '') for entry in entries
    ]
    # Nothing but whole files.
    assert {p.name for p in tmp_path.glob('*.*')} == {'a.json', 'a.csv'}


def test_a_name_that_is_no_text_loses_no_answer(student, tmp_path, capsys):
    image = str(picture(tmp_path / 'red.png', 'red'))
    odd = os.fsdecode(os.fsencode(str(tmp_path)) + b'/\xff.png')
    try:
        shutil.copyfile(image, odd)
    except OSError as error:
        pytest.skip(f'this file system has no such names ({error})')
    out = {name: tmp_path / f'a.{name}' for name in ('json', 'csv', 'png')}
    options = ['--json', out['json'], '--csv', out['csv'], '--out', out['png']]
    assert call_tool('predict.py', student, image, odd, *options) == 0
    assert '\\udcff.png: red' in capsys.readouterr().out
    entries = json.loads(out['json'].read_text())
    assert [entry['image'] for entry in entries] == [image, odd]
    with open(out['csv'], newline='', encoding='utf-8') as file:
        assert len([*csv.DictReader(file)]) == 2


def test_no_image_at_all_can_be_read(student, tmp_path):
    (tmp_path / 'a.png').write_text('no image')
    with pytest.raises(UserError, match='a.png'):
        predict(student, [tmp_path / 'a.png'], json=tmp_path / 'a.json')


def test_a_batch_is_all_that_is_held(tmp_path):
    alive = weakref.WeakSet()
    most = 0

    class Sample:
        def __init__(self, path):
            alive.add(self)

    class Counting:
        network = SimpleNamespace(load=Sample)
        classes = ['a', 'b']

        def __call__(self, samples):
            nonlocal most
            most = max(most, len(alive))
            return np.tile([0.25, 0.75], (len(samples), 1))

    path = str(picture(tmp_path / 'a.png', size=(4, 4)))
    files = [ImageFile(path, str(i)) for i in range(400)]
    said = list(answers(Counting(), files, batch_size=8))
    assert [answer.file.place for answer in said] == [f.place for f in files]
    assert said[0].top == [('b', 0.75), ('a', 0.25)]
    # That which is answered, and that which is loaded.
    assert most <= 16


def test_workers_say_the_same(student, images):
    one, two = (
        predict(student, [images], batch_size=2, workers=workers)
        for workers in (0, 2)
    )
    assert one.first == two.first and one.skipped == two.skipped


def test_copies_lie_in_folders_of_their_classes(student, images, tmp_path):
    # Of weaker colour than the others.
    faint = np.full((8, 8, 3), 100, np.uint8)
    faint[..., 0] += 1
    Image.fromarray(faint).save(images / 'x' / 'faint.png')
    out = tmp_path / 'sorted'
    summary = predict(student, [images], copy_to=out, above=0.9)
    copied = sorted(p.relative_to(out).as_posix() for p in out.rglob('*.*'))
    assert copied == sorted(f'{c}/{p}/{c}.png' for c in COLOURS for p in 'xy')
    assert summary.copied == 6
    first = f'x/{COLOURS[0]}.png'
    assert (out / COLOURS[0] / first).read_bytes() == (
        images / first
    ).read_bytes()
    # A second run would mix its labels with these.
    with pytest.raises(UserError, match='--copy-to'):
        predict(student, [images], copy_to=out)


@pytest.mark.parametrize('name', ['../up', '..', 'a/b', ''])
def test_no_class_leads_out_of_the_folder(images, tmp_path, name):
    folder = colour_student(tmp_path / 'evil', [name, 'green', 'blue'])
    with pytest.raises(UserError, match='--copy-to'):
        predict(
            folder / 'student_uint8.onnx', [images], copy_to=tmp_path / 'to'
        )
    assert not (tmp_path / 'to').exists()


def test_a_sheet_is_spread_evenly_and_drawn(student, images, tmp_path):
    sheet = Sheet(tmp_path / 'sheet.png')
    keep = sheet.chosen(1000)
    for number in range(1000):
        keep(SimpleNamespace(error=None, number=number))
    numbers = [answer.number for answer in sheet.answers]
    assert len(numbers) == COUNT and numbers[0] == 0 and numbers[-1] == 999
    assert set(np.diff(numbers)) <= {25, 26}
    predict(student, [images], out=tmp_path / 'sheet.png')
    with Image.open(tmp_path / 'sheet.png') as picture_:
        # Six images: two rows of five.
        assert picture_.width > 2 * picture_.height


def test_no_output_replaces_an_image_or_another(student, images, tmp_path):
    image = images / 'x' / f'{COLOURS[0]}.png'
    (tmp_path / 'link.png').symlink_to(image)
    before = image.read_bytes()
    both = dict(json=tmp_path / 'a', csv=tmp_path / 'x' / '..' / 'a')
    (tmp_path / 'x').mkdir()
    for named, options in (
        ('--out', dict(out=image)),
        ('--out', dict(out=tmp_path / 'link.png')),
        ('--csv .* --json', both),
        ('--copy-to', dict(copy_to=images / 'sorted')),
    ):
        with pytest.raises(UserError, match=named):
            predict(student, [images], **options)
    assert image.read_bytes() == before
    # Beside an image that is named, nothing is read twice.
    predict(student, [image], copy_to=images / 'sorted')


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(top=0), '--top'),
        (dict(batch_size=0), '--batch-size'),
        (dict(workers=-1), '--workers'),
        (dict(copy_to='to', above=1.5), '--above'),
        (dict(out='sheet.txt'), '--out'),
        (dict(json='nowhere/a.json'), '--json'),
    ],
)
def test_options_out_of_range(student, images, options, named):
    with pytest.raises(UserError, match=named):
        predict(student, [images], **options)
