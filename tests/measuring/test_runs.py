"""A measured run trains on what it says, and answers what it is asked."""

from collections import Counter
from urllib.error import URLError

import pytest
from mmpretrain.structures import DataSample

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import build_runner
from mmkd_custom.measuring import runs as module
from mmkd_custom.measuring.loop import LabelledImages
from mmkd_custom.measuring.modes import mode_configs
from mmkd_custom.measuring.runs import serve
from tests.cli import REPOSITORY
from tests.helpers import forget_instances, make_domains
from tests.measuring.throughput_stand_ins import Script

PATH = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder_128.py'
DISTIL, CUSTOMIZE, PEAK = 'distillation', 'customization', 'peak'
#: Batches of a window, labelled and unlabelled images of a batch.
BATCHES, LABELLED, UNLABELLED = 2, 2, 3


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """Small configs of all modes, by name."""
    root = make_domains(tmp_path / 'data', per_class=3)
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)
    options = {
        'model.teacher.teacher.model_name': 'test_efficientnet',
        'model.teacher.teacher.checkpoint': None,
        'train_dataloader.batch_size': LABELLED + UNLABELLED,
        'train_dataloader.sampler.labelled': LABELLED,
        'train_dataloader.sampler.unlabelled': UNLABELLED,
    }
    config = prepare(load_config(PATH, options), config_path=PATH)
    return mode_configs(config, tmp_path, BATCHES, 0)


@pytest.fixture
def ask(monkeypatch):
    """Gives the replies of a process to questions, without the process."""
    monkeypatch.setattr(module.signal, 'signal', lambda *_: None)

    def run(config, *questions):
        forget_instances()
        script = Script(*questions)
        serve(script, config)
        return script.replies

    return run


def values(replies):
    assert {kind for kind, _ in replies} == {'done'}, replies
    return [value for _, value in replies]


@pytest.mark.slow
def test_all_modes_train_on_the_same_images(configs, ask):
    every = BATCHES * (LABELLED + UNLABELLED)
    digests = set()
    for name in ('student_only', 'uncached'):
        about, first, second, peak = values(
            ask(configs[name], DISTIL, DISTIL, PEAK)
        )
        digests.add(about['images_sha256'])
        assert first['images'] == second['images'] == every
        assert min(first['seconds'], second['seconds']) > 0
        # The teacher is run once a batch, and there is none of the student.
        asked = 2 * BATCHES if name == 'uncached' else 0
        assert peak['teacher_batches'] == asked
        assert peak['peak_mb'] > 10
        assert about['customizes'] is (name == 'uncached')
    assert len(digests) == 1
    assert about['dataset_images'] == 18 and about['batch_size'] == 5
    assert about['image_size'] == about['teacher_input_size'] == [128, 128]


@pytest.mark.slow
def test_what_was_asked_once_is_in_the_cache(configs, ask):
    replies = ask(configs['fill'], DISTIL, CUSTOMIZE, PEAK, DISTIL, PEAK)
    _, _, customized, filled, _, again = values(replies)
    assert customized['images'] == BATCHES * LABELLED
    assert filled['teacher_batches'] >= BATCHES
    assert again['teacher_batches'] == filled['teacher_batches']
    # So it is for another process.
    for name, stage in (
        ('cached', DISTIL),
        ('customize_cached', CUSTOMIZE),
    ):
        *_, peak = values(ask(configs[name], stage, stage, PEAK))
        assert peak['teacher_batches'] == 0


def files(dataset, index):
    """Finds which file an index of the plain loader's dataset means."""
    streams, position = dataset.dataset, dataset.indices[index]
    for stream in streams.datasets:
        if position < len(stream):
            return stream.get_data_info(position)['img_path']
        position -= len(stream)


def test_the_plain_loader_reads_those_very_files(configs, monkeypatch):
    seen = {}
    for name in ('student_only', 'uncached'):
        forget_instances()
        runner = build_runner(configs[name])
        loop = runner.train_loop
        if name == 'student_only':
            indices = list(loop.dataloader.sampler)
            paths = [files(loop.dataloader.dataset, i) for i in indices]
        else:
            dataset = loop.dataset
            places = [
                dataset.locate(index)
                for index, _ in loop.dataloader.batch_sampler.sampler
            ]
            paths = [
                getattr(dataset, stream).get_data_info(position)['img_path']
                for stream, position in places
            ]
        seen[name] = Counter(paths)
        assert len(loop.dataloader) == BATCHES
    assert seen['student_only'] == seen['uncached']


def test_every_window_is_the_same_epoch(configs):
    forget_instances()
    runner = build_runner(configs['uncached'])
    loop, drawn, stages = runner.train_loop, [], []

    def note(idx, batch):
        stages.append(runner.model.stage)
        drawn.append([(s.sample_idx, s.view) for s in batch['data_samples']])

    def drive(loop):
        for stage in (DISTIL, CUSTOMIZE, DISTIL):
            loop.window(stage)

    loop.run_iter, loop.drive = note, drive
    runner.train()
    assert stages == [DISTIL] * 2 + [CUSTOMIZE] * 2 + [DISTIL] * 2
    assert drawn[:2] == drawn[4:]
    assert [len(batch) for batch in drawn[1:3]] == [5, 2]


def test_images_without_a_label_get_one():
    with_label, without = DataSample(), DataSample()
    with_label.set_gt_label(2)
    items = [dict(data_samples=s) for s in (with_label, without)]
    dataset = LabelledImages(items, [1, 0])
    labels = [
        int(item['data_samples'].gt_label)
        for item in (*dataset.__getitems__([0, 1]), dataset[1])
    ]
    assert labels == [0, 2, 2]


def test_a_loader_of_one_stream_is_named(configs, ask):
    config = configs['uncached']
    loader = config.train_dataloader
    loader.dataset = loader.dataset.labelled
    loader.sampler = dict(type='DefaultSampler', shuffle=True)
    del loader['batch_sampler']
    ((kind, sentence),) = ask(config)
    assert kind == 'wrong'
    assert 'a DomainFolder in batches' in sentence


@pytest.mark.parametrize(
    'error, kind, words',
    [
        (URLError('no route'), 'wrong', 'be downloaded (no route)'),
        (ZeroDivisionError('by nought'), 'failed', 'ZeroDivisionError: by'),
    ],
)
def test_what_goes_wrong_is_said(
    configs, ask, monkeypatch, error, kind, words
):
    def fail(config):
        raise error

    monkeypatch.setattr(module, 'build_runner', fail)
    ((got, text),) = ask(configs['uncached'])
    assert got == kind and words in text


def test_a_parent_that_has_gone_is_no_failure(configs, ask, monkeypatch):
    def leave(config):
        raise BrokenPipeError

    monkeypatch.setattr(module, 'build_runner', leave)
    assert ask(configs['uncached']) == []
