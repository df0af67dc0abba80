"""A measured run trains on what it says, over and over on the same."""

from collections import Counter

import pytest
from mmpretrain.structures import DataSample

from mmkd_custom.errors import UserError
from mmkd_custom.measuring import windows as module
from mmkd_custom.measuring.modes import mode_configs
from mmkd_custom.measuring.windows import start, totals, window
from tests.helpers import forget_instances

DISTIL, CUSTOMIZE = 'distillation', 'customization'
#: Batches of a window, labelled images of a batch, and all of them.
BATCHES, LABELLED, BATCH = 2, 2, 5


@pytest.fixture
def modes(config, tmp_path):
    return mode_configs(config, tmp_path, BATCHES, 0)


def run(config, *stages):
    """Does in this process what a measuring one does."""
    forget_instances()
    about = start(config)
    return about, [window(stage) for stage in stages], totals()


def files():
    """The files that a distillation window of the run reads."""
    loop = module._loop
    dataset = loop.dataset
    if hasattr(loop.dataloader.dataset, 'places'):
        places = loop.dataloader.dataset.places
    else:
        sampler = loop.dataloader.batch_sampler.sampler
        sampler.set_epoch(loop.epochs[DISTIL])
        places = [dataset.locate(key[0]) for key in sampler]
    infos = [getattr(dataset, s).get_data_info(i) for s, i in places]
    return Counter(info['img_path'] for info in infos)


@pytest.mark.slow
def test_modes_train_on_the_same_images(modes):
    seen = {}
    for name in ('student_only', 'student_channels_last', 'uncached'):
        about, (first, second), end = run(modes[name], DISTIL, DISTIL)
        seen[name] = files()
        assert first['images'] == second['images'] == BATCHES * BATCH
        assert 0 <= first['data_seconds'] < first['seconds']
        # The teacher is asked once a batch, and there is none of the student.
        asked = 2 * BATCHES if name == 'uncached' else 0
        assert end['teacher_batches'] == asked
        assert end['peak_mb'] > 10
    assert seen['student_only'] == seen['uncached']
    assert seen['student_channels_last'] == seen['uncached']
    assert set(about['stages']) == {DISTIL, CUSTOMIZE}
    assert about['dataset_images'] == 36 and about['batch_size'] == BATCH
    assert about['image_size'] == about['teacher_input_size'] == [128, 128]


@pytest.mark.slow
def test_what_was_asked_once_is_in_the_cache(modes):
    _, (customized, _), filled = run(modes['fill'], CUSTOMIZE, DISTIL)
    assert customized['images'] == BATCHES * LABELLED
    assert filled['teacher_batches'] >= BATCHES
    for name, stage in (('cached', DISTIL), ('customize_cached', CUSTOMIZE)):
        # In another process, and as often as wanted.
        _, _, end = run(modes[name], stage, stage)
        assert end['teacher_batches'] == 0


def test_each_window_is_the_same_epoch(modes, monkeypatch):
    drawn, stages = [], []

    def note(loop, number, batch):
        stages.append(loop.runner.model.stage)
        drawn.append([(s.sample_idx, s.view) for s in batch['data_samples']])

    monkeypatch.setattr(module.WindowLoop, 'run_iter', note)
    forget_instances()
    start(modes['uncached'])
    for stage in (DISTIL, CUSTOMIZE, DISTIL):
        module._loop._epoch = module._loop.epochs[stage]
        module._loop.run_epoch()
    assert stages == [DISTIL] * 2 + [CUSTOMIZE] * 2 + [DISTIL] * 2
    assert drawn[:2] == drawn[4:]
    assert [len(batch) for batch in drawn[1:3]] == [BATCH, LABELLED]


def test_images_without_a_label_get_one():
    class Streams:
        labelled, unlabelled = (
            [dict(data_samples=DataSample())],
            [dict(data_samples=DataSample())],
        )

        def locate(self, index):
            return ('labelled', 'unlabelled')[index], 0

    dataset = Streams()
    dataset.labelled[0]['data_samples'].set_gt_label(2)
    images = module._PlainImages(dataset, [(1, 0), (0, 0)])
    labels = [int(images[i]['data_samples'].gt_label) for i in range(2)]
    assert labels == [0, 2] and len(images) == 2


def test_loader_of_one_stream_is_refused(modes):
    loader = modes['uncached'].train_dataloader
    loader.dataset = loader.dataset.labelled
    loader.sampler = dict(type='DefaultSampler', shuffle=True)
    del loader['batch_sampler']
    forget_instances()
    with pytest.raises(UserError, match='TwoStreamDataset.*DomainFolder'):
        start(modes['uncached'])
