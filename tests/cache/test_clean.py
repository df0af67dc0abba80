"""A teacher whose images draw nothing is asked once about each sample."""

import json

import pytest
import torch

from mmkd_custom.cache.opening import open_caches
from mmkd_custom.datasets import SampleKey
from mmkd_custom.errors import UserError
from tests.cache.test_fill import fill  # noqa: F401
from tests.cache.test_runs import STANDARDIZE, asked_of, weights

#: 3 x 3 images of each of two domains.
SAMPLES = 18


def clean(config, cache_dir=None, size=64):
    """Has the teacher see whole images, and the student ever new views."""
    loader = config.train_dataloader
    loader.sampler.num_views = None
    loader.dataset.pipelines = dict(
        teacher=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(size, size), interpolation='area'),
            dict(type='PackInputs'),
        ]
    )
    loader.dataset.clean = ('teacher',)
    config.model.teacher.cache_dir = cache_dir


@pytest.fixture
def run(small_runner, tmp_path):
    """Trains with one clean cache; says what the teacher was asked."""

    def train(work_dir, **options):
        def edit(config):
            clean(config, str(tmp_path / 'cache'))

        runner = small_runner(work_dir, edit=edit, **options)
        asked = asked_of(runner)
        runner.train()
        return runner, asked

    return train


def test_a_run_that_fills_and_one_that_reads_are_the_same(run):
    filling, filled = run('filling')
    store = filling.model.teacher.store
    # The report at the start asks about one image, twice.
    assert sum(filled) == SAMPLES - store.count_missing() + 2 > 10
    assert store.views == 1
    reading, read = run('reading')
    assert read == [1, 1]
    resumed, _ = run('filling', resume='filling/epoch_1.pth')
    ours = weights(filling)
    for other in (reading, resumed):
        theirs = weights(other)
        assert all(torch.equal(theirs[name], ours[name]) for name in ours)


def test_images_are_made_once_for_the_teacher(small_runner):
    def edit(config):
        clean(config)
        config.custom_hooks.append(STANDARDIZE)

    runner = small_runner(edit=edit, epochs=4)
    asked, keys = asked_of(runner), []
    dataset = runner.train_dataloader.dataset
    item = dataset._item
    dataset._item = lambda key: keys.append(key) or item(key)
    runner.train()
    # The statistics are of every sample, so all is known before an epoch;
    # the report looks at an item of its own.
    assert sum(asked) == SAMPLES + 2
    named = [key for key in keys if isinstance(key, SampleKey)]
    first, later = named[:SAMPLES], named[SAMPLES:]
    assert [key[1:] for key in first] == [(0, ('teacher',))] * SAMPLES
    assert {key.images for key in later} == {(), ('student',)}
    # The student sees another view in every pass, no view twice.
    seen = [key for key in later if key.images]
    assert len(seen) == len({*seen}) == 2 * 5 * 4
    teacher = runner.model.teacher
    stored = torch.from_numpy(teacher.store._arrays['feature'][:, 0]).float()
    found = teacher.feature_mean.cpu()
    assert torch.allclose(found, stored.mean(0), atol=1e-5)


def test_filling_ahead_and_verifying(fill):  # noqa: F811
    report, store = fill(verify=100, edit=clean)
    assert report['computed'] == report['entries'] == SAMPLES
    assert report['bytes'] == SAMPLES * report['entry_bytes']
    assert (report['verified'], report['damaged']) == (SAMPLES, 0)
    assert fill(edit=clean)[0]['computed'] == 0


def test_a_cache_is_every_seeds_and_no_other_views(small_runner, tmp_path):
    folder = tmp_path / 'cache'

    def shared(config):
        clean(config, str(folder))

    for seed in (0, 1):
        # Of the views; that of the run draws a teacher here.
        option = {'train_dataloader.dataset.seed': seed}
        open_caches(small_runner('work', edit=shared, **option))
    manifest = json.loads((folder / 'manifest.json').read_text())
    assert (manifest['views'], manifest['seed']) == (1, None)
    assert list(manifest['pipelines']) == ['teacher (clean)']

    def views(config):
        shared(config)
        config.train_dataloader.dataset.update(
            clean=(), independent=('teacher',)
        )
        config.train_dataloader.sampler.num_views = 1

    with pytest.raises(UserError, match='pipelines|seed'):
        open_caches(small_runner('work', edit=views))
