import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.datasets import ImageNet
from PIL import Image

from mmkd_custom.datasets.imagenet import ImageNetSubset, list_images
from mmkd_custom.datasets.subset import digest, split_digest
from mmkd_custom.datasets.two_stream.dataset import TwoStreamDataset
from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError

WNIDS = ('n01440764', 'n01443537', 'n02084071')
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


def write_images(folder: Path, names, size=(24, 20)):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new('RGB', size, (9 * number % 256, 80, 40)).save(folder / name)


def train_names(wnid, count=6):
    # As in the archive: numbers without leading zeros.
    return [f'{wnid}_{number}.JPEG' for number in range(8, 8 + count)]


@pytest.fixture
def root(tmp_path):
    """The official layout: class folders for train, a flat val, meta."""
    root = tmp_path / 'imagenet'
    for wnid in reversed(WNIDS):
        write_images(root / 'train' / wnid, train_names(wnid))
    names = [f'ILSVRC2012_val_{number:08}.JPEG' for number in range(1, 10)]
    write_images(root / 'val', names)
    (root / 'meta').mkdir()
    (root / 'meta' / 'val.txt').write_text(
        ''.join(f'{name} {n * 5 % 3}\n' for n, name in enumerate(names))
    )
    return root


def rows(dataset):
    return [
        (Path(info['img_path']).name, info['gt_label'])
        for info in map(dataset.get_data_info, range(len(dataset)))
    ]


def test_train_is_what_mmpretrain_reads(root):
    ours = ImageNetSubset(str(root))
    theirs = ImageNet(str(root), 'train', metainfo=dict(classes=WNIDS))
    assert ours.CLASSES == WNIDS
    assert sorted(rows(ours)) == sorted(rows(theirs))
    # By class, then by name.
    assert rows(ours) == [
        (name, label)
        for label, wnid in enumerate(WNIDS)
        for name in sorted(train_names(wnid))
    ]


def test_flat_val_is_what_mmpretrain_reads(root):
    ours = ImageNetSubset(str(root), 'val')
    theirs = ImageNet(data_root=str(root), split='val')
    assert sorted(rows(ours)) == sorted(rows(theirs))
    assert rows(ours) == sorted(rows(ours), key=lambda row: row[::-1])
    assert ours.CLASSES == WNIDS


def test_val_in_class_folders_is_the_same(root):
    flat = ImageNetSubset(str(root), 'val')
    for name, label in rows(flat):
        folder = root / 'val' / WNIDS[label]
        folder.mkdir(exist_ok=True)
        (root / 'val' / name).rename(folder / name)
    (root / 'meta' / 'val.txt').unlink()
    assert rows(ImageNetSubset(str(root), 'val')) == rows(flat)


def test_what_is_no_image_is_left_out(root):
    folder = root / 'train' / WNIDS[0]
    (folder / 'notes.txt').write_text('x')
    (folder / '._n01440764_8.JPEG').write_text('x')
    (root / 'train' / '.cache').mkdir()
    dataset = ImageNetSubset(str(root))
    assert len(dataset) == 18 and dataset.CLASSES == WNIDS


def test_list_of_labelled_images(root):
    listed = [train_names(WNIDS[2])[4], *train_names(WNIDS[0])[1:3]]
    text = '\r\n'.join([*listed, '', ''])
    (root / 'meta' / '1percent.txt').write_text(text)
    options = dict(data_root=str(root), ann_file='meta/1percent.txt')
    kept = ImageNetSubset(**options)
    assert {name for name, _ in rows(kept)} == set(listed)
    assert sorted(label for _, label in rows(kept)) == [0, 0, 2]
    # A list's own order does not matter, nor where it lies.
    elsewhere = root.parent / 'list.txt'
    elsewhere.write_text('\n'.join(reversed(listed)))
    again = ImageNetSubset(str(root), ann_file=str(elsewhere))
    assert rows(again) == rows(kept)
    assert split_digest(again) == split_digest(kept)
    whole = ImageNetSubset(str(root))
    assert [rows(whole)[index] for index in kept.subset_indices] == rows(kept)
    rest = ImageNetSubset(complement=True, **options)
    assert sorted(rows(rest) + rows(kept)) == sorted(rows(whole))
    assert whole.subset_indices is None and whole.origin == kept.origin


def test_name_with_underscores_belongs_to_the_class_before_the_last(root):
    write_images(root / 'train' / 'my_class', ['my_class_7.JPEG'])
    (root / 'few.txt').write_text('my_class_7.JPEG\n')
    dataset = ImageNetSubset(str(root), ann_file='few.txt')
    assert rows(dataset) == [('my_class_7.JPEG', 0)]


def test_draw(root):
    options = dict(data_root=str(root), labels_per_class=2)
    kept = ImageNetSubset(**options)
    assert Counter(label for _, label in rows(kept)) == {0: 2, 1: 2, 2: 2}
    # On every machine, with every Python and NumPy.
    assert digest(kept.subset_indices) == (
        '38bead80cae39b9464c387993c8b594b3af5424f6d1c948684e1467bcdd121dd'
    )
    other = ImageNetSubset(seed=1, **options)
    assert rows(other) != rows(kept)
    rest = ImageNetSubset(complement=True, **options)
    assert sorted(rows(rest) + rows(kept)) == sorted(
        rows(ImageNetSubset(str(root)))
    )
    assert len(ImageNetSubset(str(root), fraction=0.01)) == 3


def test_items_and_unreadable_image(root):
    (root / 'train' / WNIDS[0] / 'n01440764_8.JPEG').write_bytes(b'broken')
    dataset = ImageNetSubset(str(root), pipeline=PIPELINE)
    assert dataset[0]['inputs'].shape == (3, 20, 24)
    at = [name for name, _ in rows(dataset)].index('n01440764_8.JPEG')
    with pytest.raises(UserError, match='n01440764_8.JPEG: this image cannot'):
        dataset[at]


def test_unlabelled_stream_has_neither_label_nor_path(root):
    def part(**options):
        return dict(
            type='mmkd_custom.ImageNetSubset',
            data_root=str(root),
            pipeline=PIPELINE,
            **options,
        )

    joined = TwoStreamDataset(part(labels_per_class=1), part())
    assert (joined.num_labelled, joined.num_unlabelled) == (3, 18)
    for index in range(3, 21):
        sample = joined[index]['data_samples']
        assert not sample.keys() and 'img_path' not in sample.metainfo


def test_names_of_the_thousand_classes(tmp_path):
    from timm.data import ImageNetInfo

    wnids = ImageNetInfo('imagenet-1k').label_names()
    for wnid in wnids:
        (tmp_path / 'train' / wnid).mkdir(parents=True)
    meta = ImageNetSubset(str(tmp_path), lazy_init=True).metainfo
    assert list(meta['classes']) == sorted(wnids)
    assert len(meta['class_names']) == 1000
    # CLIP's own: 'crane' is both a bird and a machine in other lists.
    for label, name in {
        0: 'tench',
        134: 'crane bird',
        207: 'Golden Retriever',
        517: 'construction crane',
        999: 'toilet paper',
    }.items():
        assert meta['class_names'][label].lower() == name.lower()
        lemmas = ImageNetInfo('imagenet-1k').index_to_description(label)
        words = set(lemmas.lower().replace(',', ' ').split())
        assert words & set(name.lower().split()), label
    (tmp_path / 'train' / wnids[3]).rename(tmp_path / 'train' / 'n99999999')
    meta = ImageNetSubset(str(tmp_path), lazy_init=True).metainfo
    assert len(meta['classes']) == 1000 and 'class_names' not in meta


def test_listing_asks_nothing_about_single_files(tmp_path, monkeypatch):
    """20 000 files; each question takes its time on a network's disk."""
    wnids = [f'n{number:08}' for number in range(40)]
    for wnid in wnids:
        (tmp_path / wnid).mkdir()
        for number in range(500):
            os.close(
                os.open(tmp_path / wnid / f'{wnid}_{number}.JPEG', os.O_CREAT)
            )
    asked = []
    for name in ('stat', 'lstat', 'open'):
        real = getattr(os, name)

        def count(*args, real=real, **options):
            asked.append(args)
            return real(*args, **options)

        monkeypatch.setattr(os, name, count)
    start = time.perf_counter()
    names, labels = list_images(tmp_path, wnids)
    seconds = time.perf_counter() - start
    assert len(names) == 20_000 and names == sorted(names)
    assert labels == np.repeat(np.arange(40), 500).tolist()
    assert len(asked) <= 2 * len(wnids)
    print(f'{len(names) / seconds:.0f} files a second')


@pytest.mark.parametrize(
    'text, message',
    [
        (
            'n01440764_8.JPEG\n\nn01440765_8.JPEG\n',
            "line 3: .* class 'n01440765' .*nearest: 'n01440764'",
        ),
        ('n01440764/n01440764_8.JPEG', 'line 1: the bare name of a training'),
        ('README', "line 1: .* the class '' of 'README' is unknown"),
        (
            'n01440764_8.JPEG\nn01440764_80.JPEG',
            'line 2: the image train/n01440764/n01440764_80.JPEG does not ex',
        ),
        (
            'n01440764_8.JPEG\nn01443537_8.JPEG\nn01440764_8.JPEG',
            r'line 3: .* was listed before \(.*list.txt, line 1\)',
        ),
        ('\n\n', 'list.txt names no image'),
        ('\udcff', 'list.txt cannot be read .*UnicodeDecodeError'),
    ],
)
def test_wrong_list(root, text, message):
    path = root / 'list.txt'
    path.write_bytes(text.encode('utf-8', 'surrogateescape'))
    with pytest.raises(UserError, match=message):
        ImageNetSubset(str(root), ann_file='list.txt')


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda lines: lines[:-1], '1 are not listed, such as ILSVRC2012_val'),
        (lambda lines: [*lines, 'x.JPEG 0'], 'line 10: .*val/x.JPEG does not'),
        (lambda lines: [*lines, lines[1]], 'line 10: .* listed before .* 2'),
        (lambda lines: ['ILSVRC2012_val_00000001.JPEG 3'], 'line 1: label 3'),
        (lambda lines: ['ILSVRC2012_val_00000001.JPEG -1'], 'line 1: label -'),
        (lambda lines: ['ILSVRC2012_val_00000001.JPEG'], 'line 1: .*no label'),
    ],
)
def test_wrong_list_of_val(root, change, message):
    path = root / 'meta' / 'val.txt'
    path.write_text('\n'.join(change(path.read_text().splitlines())))
    with pytest.raises(UserError, match=f'val.txt.*{message}'):
        ImageNetSubset(str(root), 'val')


def test_missing_list(root):
    with pytest.raises(UserError, match='1percent.txt does not .*LABEL_LIST='):
        ImageNetSubset(str(root), ann_file='1percent.txt')
    (root / 'meta' / 'val.txt').unlink()
    with pytest.raises(UserError, match='val.txt does not exist, but .*val'):
        ImageNetSubset(str(root), 'val')


def test_missing_folders(root, tmp_path):
    with pytest.raises(UserError, match='data_root: no folder .* DATA_ROOT'):
        ImageNetSubset('')
    with pytest.raises(UserError, match='train is no existing folder; set'):
        ImageNetSubset(str(tmp_path))
    (tmp_path / 'train').mkdir()
    with pytest.raises(UserError, match='train holds no class folder'):
        ImageNetSubset(str(tmp_path))
    (tmp_path / 'train' / 'n1').mkdir()
    with pytest.raises(UserError, match='n1: this class holds no image'):
        ImageNetSubset(str(tmp_path))
    with pytest.raises(UserError, match='val is no existing folder, but'):
        ImageNetSubset(str(tmp_path), 'val')
    (root / 'val' / WNIDS[0]).mkdir()
    with pytest.raises(UserError, match="'n01443537' is in .*train only"):
        ImageNetSubset(str(root), 'val')


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(split='test'), "split: 'train' or 'val' .* 'test'"),
        (dict(split='val', ann_file='a'), 'ann_file: .* lists training'),
        (dict(ann_file='a', fraction=0.1), 'neither fraction nor labels_per'),
        (dict(labels_per_class=7), "class 'n01440764' holds 6 .* 7 labels"),
        (dict(fraction=0.1, labels_per_class=1), 'exactly one is wanted'),
        (dict(complement=True), 'complement=True'),
    ],
)
def test_refused_options(root, options, message):
    with pytest.raises(UserError, match=message):
        ImageNetSubset(str(root), **options)


@pytest.mark.parametrize('percent, listed, drawn', [(1, 2, 3), (10, 4, 6)])
def test_configs_take_a_list_or_draw(
    repo, root, monkeypatch, percent, listed, drawn
):
    for wnid in WNIDS:
        write_images(root / 'train' / wnid, train_names(wnid, 15))
    names = train_names(WNIDS[0])[:listed]
    (root / 'meta' / f'{percent}percent.txt').write_text('\n'.join(names))
    monkeypatch.setenv('DATA_ROOT', str(root))
    path = repo / f'configs/_base_/datasets/imagenet_{percent}pct.py'
    for label_list, count in ((None, listed), ('draw', drawn)):
        if label_list:
            monkeypatch.setenv('LABEL_LIST', label_list)
        config = load_config(path)
        assert f'{percent}%' in config.task.replace(' ', '')
        options = dict(config.train_dataloader.dataset)
        options.pop('type')
        joined = TwoStreamDataset(**options)
        assert (joined.num_labelled, joined.num_unlabelled) == (count, 45)
    assert joined[0]['inputs'].shape == (3, 224, 224)
    assert config.data_preprocessor.num_classes == 3
