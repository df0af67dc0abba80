import importlib.util
import sys
from collections import Counter

import pytest

from mmkd_custom.datasets import ELPV
from mmkd_custom.datasets.elpv import read_labels
from mmkd_custom.errors import UserError

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
installed = pytest.mark.skipif(
    importlib.util.find_spec('elpv_dataset') is None,
    reason='the elpv-dataset package is not installed',
)


@pytest.fixture
def cells(tmp_path, write_image):
    """Writes 40 mono and 60 poly cells in the package's layout."""
    lines = []
    for number in range(100):
        kind = 'mono' if number < 40 else 'poly'
        probability = (number % 4) / 3
        lines.append(f'images/cell{number:04}.png  {probability}   {kind}')
    (tmp_path / 'labels.csv').write_text('\n'.join(lines) + '\n')
    write_image(tmp_path / 'images' / 'cell0000.png')
    return str(tmp_path)


def paths(dataset):
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def test_splits_partition_every_domain(cells):
    for domain, total in (('mono', 40), ('poly', 60), ('all', 100)):
        parts = [
            paths(ELPV(domain, split, data_root=cells))
            for split in ('train', 'val', 'test')
        ]
        whole = paths(ELPV(domain, 'all', data_root=cells))
        assert sorted(sum(parts, [])) == sorted(whole)
        assert len(whole) == total


def test_splits_are_stratified_and_agree_between_domains(cells):
    split = {
        domain: ELPV(domain, 'test', data_root=cells)
        for domain in ('mono', 'poly', 'all')
    }
    assert sorted(paths(split['mono']) + paths(split['poly'])) == sorted(
        paths(split['all'])
    )
    numbers = [int(path[-8:-4]) for path in paths(split['poly'])]
    # 60 cells, 15 of each probability, a quarter of each (3.75 -> 4).
    assert Counter(number % 4 for number in numbers) == {
        0: 4,
        1: 4,
        2: 4,
        3: 4,
    }


def test_split_depends_on_split_seed_and_not_on_seed(cells):
    def train(**options):
        return paths(ELPV('mono', data_root=cells, **options))

    assert train() == train(seed=5)
    assert train() != train(split_seed=5)
    assert set(train(labels_per_class=3, seed=5)) <= set(train())
    assert train(labels_per_class=3, seed=5) != train(labels_per_class=3)


def test_threshold_decides_what_is_defective(cells):
    for threshold, share in ((0.5, 50), (0.9, 25), (0.3, 75)):
        dataset = ELPV(split='all', data_root=cells, threshold=threshold)
        assert dataset.get_gt_labels().sum() == share
    assert dataset.CLASSES == ('functional', 'defective')


def test_subset_and_complement(cells):
    options = dict(data_root=cells, fraction=0.2)
    kept, rest = ELPV(**options), ELPV(complement=True, **options)
    assert sorted(paths(kept) + paths(rest)) == sorted(
        paths(ELPV(data_root=cells))
    )


def test_items_and_unreadable_images(cells):
    dataset = ELPV(split='all', data_root=cells, pipeline=PIPELINE)
    assert dataset[0]['inputs'].shape == (3, 16, 20)
    with pytest.raises(UserError, match='cell0001.png: this image cannot'):
        dataset[1]


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(domain='multi'), "domain: one of 'mono', 'poly', 'all'"),
        (dict(split='valid'), "split: .*got 'valid'"),
        (dict(threshold=0), 'threshold: .* got 0'),
        (dict(val_fraction=0.5, test_fraction=0.5), 'leave some for training'),
        (dict(test_fraction=0), 'leave some for training'),
        (dict(labels_per_class=99), "class 'functional' holds"),
    ],
)
def test_refused_options(cells, options, message):
    with pytest.raises(UserError, match=message):
        ELPV(data_root=cells, **options)


def test_missing_or_malformed_labels(tmp_path):
    with pytest.raises(UserError, match='labels.csv does not exist'):
        ELPV(data_root=str(tmp_path))
    (tmp_path / 'labels.csv').write_text('a.png 1.0 mono\n\nb.png mono\n')
    with pytest.raises(UserError, match='labels.csv, line 3: .*b.png mono'):
        read_labels(tmp_path / 'labels.csv')


def test_package_is_missing(monkeypatch):
    # An import blocker is what find_spec itself consults.
    monkeypatch.setitem(sys.modules, 'elpv_dataset', None)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='pip install elpv-dataset'):
        ELPV()


@installed
def test_real_cells():
    counts = {
        domain: len(ELPV(domain, 'all')) for domain in ('mono', 'poly', 'all')
    }
    assert counts == dict(mono=1074, poly=1550, all=2624)
    # 56 + 313 mono and 50 + 402 poly cells have probability 2/3 or 1.
    assert ELPV('mono', 'all').get_gt_labels().sum() == 369
    assert ELPV('poly', 'all').get_gt_labels().sum() == 452
    item = ELPV('poly', 'test', pipeline=PIPELINE)[0]
    assert item['inputs'].shape == (3, 300, 300)
