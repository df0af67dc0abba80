"""Both loaders show the same images, and the figures are theirs."""

import copy
from collections import Counter

import pytest
from mmengine.config import Config

from mmkd_custom.errors import UserError
from mmkd_custom.measuring import loader as module
from mmkd_custom.measuring.loader import loader_throughput
from tests.helpers import make_domains

LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackInputs')
PIPELINE = [LOAD, dict(type='RandomResizedCrop', scale=8), PACK]


@pytest.fixture
def config(tmp_path):
    root = str(make_domains(tmp_path / 'data'))

    def domain(name):
        return dict(
            type='DomainFolder',
            data_root=root,
            domain=name,
            pipeline=PIPELINE,
        )

    return Config(
        dict(
            train_dataloader=dict(
                batch_size=5,
                num_workers=2,
                collate_fn=dict(type='default_collate'),
                dataset=dict(
                    type='TwoStreamDataset',
                    labelled=domain('art'),
                    unlabelled=domain('photo'),
                ),
                sampler=dict(
                    type='TwoStreamSampler', labelled=2, unlabelled=3
                ),
                batch_sampler=dict(type='TwoStreamBatchSampler'),
            )
        )
    )


@pytest.fixture
def windows(monkeypatch):
    """Collects the loaders that were timed, and times none."""
    timed = []

    def window(loader):
        timed.append(loader)
        return 100.0 * len(timed)

    monkeypatch.setattr(module, '_window', window)
    return timed


def test_windows_take_turns_and_the_first_pair_warms_up(config, windows):
    found = loader_throughput(config, workers=0, repeats=3)
    two_stream = windows[1]
    order = [loader is two_stream for loader in windows]
    assert order == [False, True, True, False, False, True, True, False]
    assert found['two_stream'] == [300.0, 600.0, 700.0]
    assert found['plain'] == [400.0, 500.0, 800.0]
    assert found['two_stream_median'] == 600 and found['plain_median'] == 500
    assert found['ratio'] == 0.875
    assert (found['ratio_min'], found['ratio_max']) == (0.75, 1.2)
    assert (found['images'], found['batch_size']) == (45, 5)
    assert (found['workers'], found['repeats']) == (0, 3)
    assert found['left_out'] == []


def files(loader):
    """Every file that the epoch of a loader reads."""
    dataset = loader.dataset
    if hasattr(dataset, 'indices'):
        infos = [
            dataset.dataset.datasets[index // 18].get_data_info(index % 18)
            for index in dataset.indices
        ]
    else:
        infos = []
        for index, _ in loader.batch_sampler.sampler:
            stream, position = dataset.locate(index)
            infos.append(getattr(dataset, stream).get_data_info(position))
    return Counter(info['img_path'] for info in infos)


@pytest.mark.parametrize('limit', [32, 4])
def test_both_loaders_read_the_same_files(config, windows, monkeypatch, limit):
    monkeypatch.setattr(module, 'MAX_BATCHES', limit)
    before = copy.deepcopy(config.to_dict())
    found = loader_throughput(config, workers=0, repeats=1)
    assert config.to_dict() == before
    plain, two_stream = windows[:2]
    assert files(plain) == files(two_stream)
    assert found['images'] == 5 * min(9, limit)
    # The plain one gives all of them, of the same shape, in full batches.
    for loader in (plain, two_stream):
        batches = [batch['inputs'].shape for batch in loader]
        assert batches == [(5, 3, 8, 8)] * min(9, limit)
    assert plain.collate_fn.func is two_stream.collate_fn.func


def test_other_views_are_left_out(config, windows):
    views = dict(teacher=PIPELINE, strong=PIPELINE)
    config.train_dataloader.dataset.pipelines = views
    found = loader_throughput(config, workers=0, repeats=1)
    assert found['left_out'] == ['teacher', 'strong']
    batch = next(iter(windows[1]))
    assert set(batch) == {'inputs', 'data_samples'}


def test_it_times_with_workers(config):
    found = loader_throughput(config, workers=1, repeats=1)
    assert found['ratio'] == found['two_stream'][0] / found['plain'][0]
    assert min(found['two_stream'] + found['plain']) > 0


def plain_loader(config):
    loader = config.train_dataloader
    loader.dataset = loader.dataset.labelled
    loader.sampler = dict(type='DefaultSampler', shuffle=True)
    loader.pop('batch_sampler')


def test_what_cannot_be_measured_is_refused(config):
    with pytest.raises(UserError, match='--workers -1'):
        loader_throughput(config, workers=-1)
    with pytest.raises(UserError, match='--repeats 0'):
        loader_throughput(config, repeats=0)
    with pytest.raises(UserError, match='no train_dataloader'):
        loader_throughput(Config())
    plain_loader(config)
    with pytest.raises(UserError, match='a DomainFolder .* are wanted'):
        loader_throughput(config)
