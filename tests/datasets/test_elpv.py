import importlib.util
from collections import Counter

import pytest

from mmkd_custom.datasets import ELPV
from mmkd_custom.errors import UserError

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
installed = pytest.mark.skipif(
    importlib.util.find_spec('elpv_dataset') is None,
    reason='the elpv-dataset package is not installed',
)


@pytest.fixture
def cells(tmp_path):
    """40 mono and 60 poly cells in the package's layout, without images."""
    lines = []
    for number in range(100):
        kind = 'mono' if number < 40 else 'poly'
        probability = (number % 4) / 3
        lines.append(f'images/cell{number:04}.png  {probability}   {kind}')
    (tmp_path / 'labels.csv').write_text('\n'.join(lines) + '\n')
    return str(tmp_path)


def test_splits_partition_every_domain(cells, rows):
    for domain, total in (('mono', 40), ('poly', 60), ('all', 100)):
        parts = [
            rows(ELPV(domain, split, data_root=cells))
            for split in ('train', 'val', 'test')
        ]
        whole = rows(ELPV(domain, 'all', data_root=cells))
        assert sorted(sum(parts, [])) == sorted(whole)
        assert len(whole) == total


def test_splits_are_stratified_and_agree_between_domains(cells, rows):
    split = {
        domain: rows(ELPV(domain, 'test', data_root=cells))
        for domain in ('mono', 'poly', 'all')
    }
    assert sorted(split['mono'] + split['poly']) == sorted(split['all'])
    # 60 cells, 15 of each probability, a quarter of each (3.75 -> 4).
    numbers = [int(path[-8:-4]) % 4 for path, _ in split['poly']]
    assert Counter(numbers) == dict.fromkeys(range(4), 4)


def test_split_depends_on_split_seed_and_not_on_seed(cells, rows):
    def train(**options):
        return rows(ELPV('mono', data_root=cells, **options))

    assert train() == train(seed=5)
    assert train() != train(split_seed=5)
    assert set(train(labels_per_class=3, seed=5)) <= set(train())
    assert train(labels_per_class=3, seed=5) != train(labels_per_class=3)


def test_threshold_decides_what_is_defective(cells):
    for threshold, share in ((0.5, 50), (0.9, 25), (0.3, 75)):
        dataset = ELPV(split='all', data_root=cells, threshold=threshold)
        assert dataset.get_gt_labels().sum() == share
    assert dataset.CLASSES == ('functional', 'defective')


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(domain='multi'), "domain: .*'multi'"),
        (dict(split='valid'), "split: .*'valid'"),
        (dict(threshold=0), 'threshold: .*0'),
        (dict(val_fraction=0.5, test_fraction=0.5), 'val_fraction .*0.5'),
        (dict(test_fraction=0), 'test_fraction: .*0'),
        (dict(labels_per_class=99), "labels_per_class: .*'functional'"),
    ],
)
def test_options_refused(cells, options, named):
    with pytest.raises(UserError, match=named):
        ELPV(data_root=cells, **options)


def test_missing_and_malformed_labels_are_named(tmp_path):
    with pytest.raises(UserError, match='labels.csv'):
        ELPV(data_root=str(tmp_path))
    (tmp_path / 'labels.csv').write_text('a.png 1.0 mono\n\nb.png mono\n')
    with pytest.raises(UserError, match='labels.csv, line 3: .*b.png mono'):
        ELPV(data_root=str(tmp_path))


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='elpv-dataset'):
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
