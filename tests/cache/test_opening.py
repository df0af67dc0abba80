"""Opening caches: what they depend on, refusals, and several ranks."""

import json
from pathlib import Path

import pytest
import torch

from mmkd_custom.cache.files import CHECKSUMS_FILE
from mmkd_custom.cache.opening import open_caches
from mmkd_custom.errors import UserError
from tests.cache.test_runs import exact, teacher_view


def option(name, value):
    return lambda config: config.merge_from_dict({name: value})


def first_image(config):
    folder = Path(config.data_root, 'photo', 'cat')
    return sorted(folder.iterdir())[0]


def other_pixels(config):
    image = first_image(config)
    image.write_bytes(sorted(image.parent.iterdir())[1].read_bytes())


def other_name(config):
    image = first_image(config)
    image.rename(image.with_name('another' + image.suffix))


def other_crop(config):
    for stream in ('labelled', 'unlabelled'):
        dataset = config.train_dataloader.dataset[stream]
        dataset.pipeline[1].crop_ratio_range = (0.25, 1.0)


INNER = 'model.teacher.teacher'
OTHER = [
    (option(f'{INNER}.model_name', 'test_efficientnet_ln'), ['teacher=']),
    (option(f'{INNER}.input_size', 64), ['teacher_config.input_size=64']),
    (option(f'{INNER}.dtype', 'bfloat16'), ['teacher_sha256']),
    (option(f'{INNER}.interpolation', 'bilinear'), ['interpolation']),
    (option(f'{INNER}.global_pool', 'max'), ['global_pool']),
    (option('data_preprocessor.mean', [0.0] * 3), ['student_input.mean.0']),
    (option('data_preprocessor.to_rgb', False), ['student_input.to_rgb']),
    (option('data_preprocessor.pad_size_divisor', 64), ['padding.0=64']),
    (other_crop, ['pipelines.labelled.1.crop_ratio_range.0=0.25', '0.5']),
    (teacher_view, ['pipelines.teacher.0']),
    (option('train_dataloader.dataset.seed', 1), ['seed=1']),
    (option('train_dataloader.sampler.num_views', 3), ['views=3', '4']),
    (exact, ["dtype='float32'", "'float16'"]),
    # These two change the files themselves, so they come last.
    (other_pixels, ['dataset_sha256']),
    (other_name, ['dataset_sha256']),
]


def test_a_cache_of_something_else_is_refused(small_runner, tmp_path):
    def shared(config):
        config.model.teacher.cache_dir = str(tmp_path / 'cache')

    open_caches(small_runner('first', edit=shared))
    # How a teacher runs, and how long the run is, make no other outputs.
    alike = {
        f'{INNER}.max_batch': 2,
        f'{INNER}.channels_last': False,
        'model.general_weight': 7.0,
        'train_dataloader.sampler.labelled': 3,
        'train_dataloader.sampler.unlabelled': 1,
    }
    open_caches(small_runner('second', edit=shared, epochs=6, **alike))
    for change, words in OTHER:

        def other(config, change=change):
            shared(config)
            change(config)

        with pytest.raises(UserError) as error:
            open_caches(small_runner('second', edit=other))
        assert all(word in str(error.value) for word in words), words


@pytest.mark.parametrize('field', ['teacher_sha256', 'teacher_layers'])
def test_another_network_is_another_teacher(small_runner, field):
    open_caches(small_runner('first'))
    runner = small_runner('first')
    network = runner.model.teacher.teacher.model
    if field == 'teacher_sha256':
        next(network.parameters()).data[0] += 1
    else:
        for name, layer in list(network.named_modules()):
            if isinstance(layer, torch.nn.SiLU):
                network.set_submodule(name, torch.nn.ReLU())
    with pytest.raises(UserError, match=field):
        open_caches(runner)


def test_a_manifest_says_what_it_depends_on(small_runner, tmp_path):
    runner = small_runner('first')
    open_caches(runner)
    text = (tmp_path / 'first/teacher_cache/manifest.json').read_text()
    manifest = json.loads(text)
    # As the user wrote it, but for what makes no other outputs.
    dataset = runner.cfg.train_dataloader.dataset
    for stream, steps in manifest['pipelines'].items():
        given = dataset[stream].pipeline
        assert steps == json.loads(json.dumps(given))
    teacher = manifest['teacher_config']
    assert teacher['model_name'] == 'test_efficientnet'
    assert 'checkpoint' not in teacher
    assert manifest['teacher_sha256'] == runner.model.teacher.digest()
    assert {'torch', 'mmcv', 'mmpretrain'} < set(manifest['made_with'])


@pytest.mark.parametrize(
    'options, word',
    [
        ({'train_dataloader.sampler.num_views': None}, 'num_views.*clean'),
        ({'model.teacher.outputs': ['logits']}, 'outputs'),
        ({'model.teacher.cache_dir': '/dev/null/cache'}, '/dev/null/cache'),
        (
            {
                'data_preprocessor.batch_augments': dict(
                    augments=dict(type='Mixup', alpha=1.0)
                )
            },
            'augments',
        ),
    ],
)
def test_what_cannot_be_cached_is_refused(small_runner, options, word):
    with pytest.raises(UserError, match=word):
        open_caches(small_runner(**options))


def test_another_dataset_is_refused(small_runner):
    def plain(config):
        loader = config.train_dataloader
        loader.dataset = loader.dataset.labelled
        loader.sampler = dict(type='DefaultSampler', shuffle=True)
        loader.pop('batch_sampler')

    with pytest.raises(UserError, match='TwoStreamDataset'):
        open_caches(small_runner(edit=plain))


def test_a_place_where_nothing_can_be_written(small_runner, read_only):
    runner = small_runner('first')
    runner.train()
    store = runner.model.teacher.store
    missing = store.count_missing()
    assert missing > 0
    with read_only():
        with pytest.raises(UserError, match=f'{missing} of 72'):
            open_caches(small_runner('first'))
        # A finished one needs nothing written.
        path = store.folder / CHECKSUMS_FILE
        path.write_bytes(b'\1' * path.stat().st_size)
        (teacher,) = open_caches(small_runner('first')).values()
        assert not teacher.store.writable


def test_cached_teacher_inside_another_is_refused(small_runner):
    def edit(config):
        inner = config.model.teacher
        config.model.teacher = dict(
            type='EnsembleTeacher', teachers=[inner], mode='features'
        )

    with pytest.raises(UserError, match='CachedTeacher.*EnsembleTeacher'):
        open_caches(small_runner(edit=edit))
