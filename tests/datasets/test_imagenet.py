import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.datasets import ImageNet

from mmkd_custom.datasets.imagenet import ImageNetSubset, list_images
from mmkd_custom.datasets.subset import digest, split_digest
from mmkd_custom.datasets.two_stream.dataset import TwoStreamDataset
from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError

WNIDS = ('n01440764', 'n01443537', 'n02084071')


def train_names(wnid, count=6):
    # As in the archive: numbers without leading zeros.
    return [f'{wnid}_{number}.JPEG' for number in range(8, 8 + count)]


@pytest.fixture
def root(tmp_path, touch):
    """The official layout: class folders for train, a flat val, meta."""
    root = tmp_path / 'imagenet'
    for wnid in reversed(WNIDS):
        touch(root, *(f'train/{wnid}/{name}' for name in train_names(wnid)))
    names = [f'ILSVRC2012_val_{number:08}.JPEG' for number in range(1, 10)]
    touch(root, *(f'val/{name}' for name in names))
    (root / 'meta').mkdir()
    (root / 'meta' / 'val.txt').write_text(
        ''.join(f'{name} {n * 5 % 3}\n' for n, name in enumerate(names))
    )
    return root


@pytest.fixture
def named(rows):
    """Returns a function: file name and label of each sample."""
    return lambda dataset: [
        (Path(path).name, label) for path, label in rows(dataset)
    ]


def test_train_is_what_mmpretrain_reads(root, touch, named):
    touch(root, f'train/{WNIDS[0]}/notes.txt', 'train/.cache/x')
    touch(root, f'train/{WNIDS[0]}/._n01440764_8.JPEG')
    ours = ImageNetSubset(str(root))
    assert ours.CLASSES == WNIDS
    # By class, then by name.
    assert named(ours) == [
        (name, label)
        for label, wnid in enumerate(WNIDS)
        for name in sorted(train_names(wnid))
    ]
    (root / 'train' / WNIDS[0] / '._n01440764_8.JPEG').unlink()
    shutil.rmtree(root / 'train' / '.cache')
    theirs = ImageNet(str(root), 'train', metainfo=dict(classes=WNIDS))
    assert sorted(named(ours)) == sorted(named(theirs))


def test_flat_val_is_what_mmpretrain_reads(root, named):
    ours = ImageNetSubset(str(root), 'val')
    theirs = ImageNet(data_root=str(root), split='val')
    assert sorted(named(ours)) == sorted(named(theirs))
    assert named(ours) == sorted(named(ours), key=lambda row: row[::-1])
    assert ours.CLASSES == WNIDS
    # So is val in class folders.
    for name, label in named(ours):
        folder = root / 'val' / WNIDS[label]
        folder.mkdir(exist_ok=True)
        (root / 'val' / name).rename(folder / name)
    (root / 'meta' / 'val.txt').unlink()
    assert named(ImageNetSubset(str(root), 'val')) == named(ours)


def test_list_of_labelled_images(root, named):
    listed = [train_names(WNIDS[2])[4], *train_names(WNIDS[0])[1:3]]
    text = '\r\n'.join([*listed, '', ''])
    (root / 'meta' / '1percent.txt').write_text(text)
    options = dict(data_root=str(root), ann_file='meta/1percent.txt')
    kept = ImageNetSubset(**options)
    assert {name for name, _ in named(kept)} == set(listed)
    assert sorted(label for _, label in named(kept)) == [0, 0, 2]
    # A list's own order does not matter, nor where it lies.
    elsewhere = root.parent / 'list.txt'
    elsewhere.write_text('\n'.join(reversed(listed)))
    again = ImageNetSubset(str(root), ann_file=str(elsewhere))
    assert split_digest(again) == split_digest(kept)
    whole = named(ImageNetSubset(str(root)))
    assert [whole[index] for index in kept.subset_indices] == named(kept)
    rest = ImageNetSubset(complement=True, **options)
    assert sorted(named(rest) + named(kept)) == sorted(whole)


def test_name_with_underscores_belongs_to_the_class_before_the_last(
    root, touch, named
):
    touch(root, 'train/my_class/my_class_7.JPEG')
    (root / 'few.txt').write_text('my_class_7.JPEG\n')
    dataset = ImageNetSubset(str(root), ann_file='few.txt')
    assert named(dataset) == [('my_class_7.JPEG', 0)]


def test_draw_is_pinned(root, named):
    kept = ImageNetSubset(str(root), labels_per_class=2)
    assert Counter(label for _, label in named(kept)) == {0: 2, 1: 2, 2: 2}
    # On every machine, with every Python and NumPy.
    assert digest(kept.subset_indices) == (
        '38bead80cae39b9464c387993c8b594b3af5424f6d1c948684e1467bcdd121dd'
    )


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
        517: 'construction crane',
        999: 'toilet paper',
    }.items():
        assert meta['class_names'][label].lower() == name
        lemmas = ImageNetInfo('imagenet-1k').index_to_description(label)
        words = set(lemmas.lower().replace(',', ' ').split())
        assert words & set(name.split()), label
    (tmp_path / 'train' / wnids[3]).rename(tmp_path / 'train' / 'n99999999')
    meta = ImageNetSubset(str(tmp_path), lazy_init=True).metainfo
    assert len(meta['classes']) == 1000 and 'class_names' not in meta


def test_listing_asks_nothing_about_single_files(tmp_path, touch, monkeypatch):
    """Each question takes its time on a network's disk."""
    wnids = [f'n{number:08}' for number in range(20)]
    for wnid in wnids:
        touch(tmp_path, *(f'{wnid}/{wnid}_{n}.JPEG' for n in range(50)))
    asked = []
    for name in ('stat', 'lstat', 'open'):
        real = getattr(os, name)

        def count(*args, real=real, **options):
            asked.append(args)
            return real(*args, **options)

        monkeypatch.setattr(os, name, count)
    names, labels = list_images(tmp_path, wnids)
    assert len(names) == 1000 and names == sorted(names)
    assert labels == np.repeat(np.arange(20), 50).tolist()
    assert len(asked) <= 2 * len(wnids)


@pytest.mark.parametrize(
    'text, named',
    [
        (
            'n01440764_8.JPEG\n\nn01440765_8.JPEG\n',
            "line 3: .*'n01440765'.*'n01440764'",
        ),
        ('n01440764/n01440764_8.JPEG', 'line 1: .*n01440764/'),
        ('README', "line 1: .*'README'"),
        ('n01440764_8.JPEG\nn01440764_80.JPEG', 'line 2: .*n01440764_80.JPEG'),
        (
            'n01440764_8.JPEG\nn01443537_8.JPEG\nn01440764_8.JPEG',
            'line 3: .*n01440764_8.JPEG.*line 1',
        ),
        ('\n\n', 'list.txt'),
        (None, 'ann_file: .*list.txt.*LABEL_LIST'),
    ],
)
def test_wrong_list_is_named(root, text, named):
    if text:
        (root / 'list.txt').write_text(text)
    with pytest.raises(UserError, match=named):
        ImageNetSubset(str(root), ann_file='list.txt')


@pytest.mark.parametrize(
    'change, named',
    [
        (lambda lines: lines[:-1], ': .*8 of 9.*_00000009'),
        (lambda lines: [*lines, 'x.JPEG 0'], ', line 10: .*val/x.JPEG'),
        (lambda lines: [*lines, lines[1]], ', line 10: .*line 2'),
        (lambda lines: ['ILSVRC2012_val_00000001.JPEG 3'], ', line 1: .*3'),
        (lambda lines: ['ILSVRC2012_val_00000001.JPEG'], ', line 1: '),
        (None, ': '),
    ],
)
def test_wrong_list_of_val_is_named(root, change, named):
    path = root / 'meta' / 'val.txt'
    lines = path.read_text().splitlines()
    path.unlink()
    if change:
        path.write_text('\n'.join(change(lines)))
    with pytest.raises(UserError, match=f'val.txt{named}'):
        ImageNetSubset(str(root), 'val')


def test_missing_folders_are_named(root, tmp_path):
    def refused(path, split, named):
        with pytest.raises(UserError, match=named):
            ImageNetSubset(str(path), split)

    refused('', 'train', 'data_root: .*DATA_ROOT')
    refused(tmp_path, 'train', f'data_root: .*{tmp_path}/train')
    (tmp_path / 'train').mkdir()
    refused(tmp_path, 'train', f'data_root: .*{tmp_path}/train')
    (tmp_path / 'train' / 'n1').mkdir()
    refused(tmp_path, 'train', 'train/n1: ')
    refused(tmp_path, 'val', f'data_root: .*{tmp_path}/val')
    (root / 'val' / WNIDS[0]).mkdir()
    refused(root, 'val', "'n01443537', 'n02084071' in 'train' only")


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(split='test'), "split: .*'test'"),
        (dict(split='val', ann_file='a'), "ann_file: .*'val'"),
        (dict(ann_file='a', fraction=0.1), 'ann_file: .*0.1'),
        (dict(labels_per_class=7), "labels_per_class: .*'n01440764'.* 7"),
    ],
)
def test_options_refused(root, options, named):
    with pytest.raises(UserError, match=named):
        ImageNetSubset(str(root), **options)


@pytest.mark.parametrize('percent, listed, drawn', [(1, 2, 3), (10, 4, 6)])
def test_configs_take_a_list_or_draw(
    repo, root, touch, monkeypatch, percent, listed, drawn
):
    for wnid in WNIDS:
        names = train_names(wnid, 15)
        touch(root, *(f'train/{wnid}/{name}' for name in names))
    names = train_names(WNIDS[0])[:listed]
    (root / 'meta' / f'{percent}percent.txt').write_text('\n'.join(names))
    monkeypatch.setenv('DATA_ROOT', str(root))
    for label_list, count in ((None, listed), ('draw', drawn)):
        if label_list:
            monkeypatch.setenv('LABEL_LIST', label_list)
        config = load_config(
            repo / f'configs/_base_/datasets/imagenet_{percent}pct.py'
        )
        options = dict(config.train_dataloader.dataset)
        options.pop('type')
        joined = TwoStreamDataset(**options)
        assert (joined.num_labelled, joined.num_unlabelled) == (count, 45)
