"""A cached run is the run that it saves the teacher's work of."""

import json
from pathlib import Path

import pytest
import torch

from mmkd_custom.cache import CachedTeacher
from mmkd_custom.cache.opening import open_cache
from mmkd_custom.errors import UserError
from mmkd_custom.models.distillers import make_batch


def live(config):
    """Has the teacher asked every time."""
    config.model.teacher = config.model.teacher.teacher


def exact(config):
    config.model.teacher.cache_dtype = 'float32'


def asked_of(runner):
    """Numbers of images of the passes of the teacher's network."""
    asked = []
    runner.model.teacher.teacher.register_forward_pre_hook(
        lambda _, args: asked.append(len(args[0]))
    )
    return asked


def weights(runner):
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def test_what_is_cached_is_what_the_teacher_says(small_runner):
    runner = small_runner(edit=exact)
    runner.train()
    model = runner.model
    assert isinstance(model.teacher, CachedTeacher)
    assert model.teacher.store.shapes == {'feature': (256,)}
    dataset = runner.train_dataloader.dataset
    seen = 0
    for view in range(4):
        for index in range(len(dataset)):
            keys = torch.tensor([index]), torch.tensor([view])
            if not model.teacher.store.present(*keys).all():
                continue
            seen += 1
            data = runner.train_dataloader.collate_fn([dataset[index, view]])
            batch = make_batch(**model.data_preprocessor(data, False))
            torch.testing.assert_close(
                model.run_teacher(batch)[0].feature,
                model.ask_teacher(batch).feature,
                rtol=1e-5,
                atol=1e-5,
            )
    assert seen >= 18


@pytest.mark.slow
def test_filling_reading_and_live_runs(small_runner, tmp_path):
    filling = small_runner('filling', edit=exact, epochs=4)
    filled = asked_of(filling)
    filling.train()
    assert sum(filled) > 2

    def shared(config):
        exact(config)
        config.model.teacher.cache_dir = str(
            tmp_path / 'filling' / 'teacher_cache'
        )

    reading = small_runner('reading', edit=shared, epochs=4)
    read = asked_of(reading)
    reading.train()
    # The report at the start asks about one image, twice.
    assert read == [1, 1]
    assert same(weights(filling), weights(reading))


def test_a_live_run_has_the_same_losses(small_runner):
    losses = []
    for number, edit in enumerate((exact, live)):
        runner = small_runner(f'run{number}', edit=edit)
        runner.train()
        history, _ = runner.message_hub.get_scalar('train/loss').data
        losses.append(history)
    # The same images went through the teacher in other batches.
    assert len(losses[0]) == 5
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_customization_reads_no_image(small_runner, monkeypatch):
    opened = []
    runner = small_runner(epochs=10)
    dataset = runner.train_dataloader.dataset
    packed = dataset._packed

    def watched(part, position, pipeline, *key):
        opened.append((runner.epoch, part.name))
        return packed(part, position, pipeline, *key)

    monkeypatch.setattr(dataset, '_packed', watched)
    student = []
    runner.model.student.backbone.register_forward_pre_hook(
        lambda *_: student.append(runner.epoch)
    )
    runner.train()
    # Five batches of two labelled images are one view of nine and a bit. The
    # cache holds all four once both stages have been through them.
    assert {epoch for epoch, _ in opened} >= {0, 1, 3, 5, 7, 9}
    assert 8 not in {epoch for epoch, _ in opened}
    assert set(student) == {1, 3, 5, 7, 9}


def test_workers_make_no_teacher_image_for_cached_samples(small_runner):
    def edit(config):
        pipeline = config.train_dataloader.dataset.labelled.pipeline
        config.train_dataloader.dataset.teacher_pipeline = [
            *pipeline[:3],
            pipeline[-1],
        ]

    runner = small_runner(epochs=10, edit=edit)
    keys = set()
    preprocess = runner.model.data_preprocessor.forward

    def watched(data, training=False):
        if training:
            keys.add((runner.epoch, *sorted(data)))
        return preprocess(data, training)

    runner.model.data_preprocessor.forward = watched
    runner.train()
    images = ('data_samples', 'inputs', 'teacher_inputs')
    assert (0, *images) in keys and (1, *images) in keys
    assert {key[1:] for key in keys if key[0] == 8} == {images[:1]}
    assert {key[1:] for key in keys if key[0] == 9} == {images[:2]}


def damage(store):
    """Changes a byte of every entry, as a torn write might."""
    array = store._arrays['feature'].view('uint8')
    array[..., 0] ^= 1
    store.flush()


@pytest.mark.parametrize('teacher_pipeline', [False, True])
def test_damaged_entries_are_made_again(
    small_runner, tmp_path, teacher_pipeline
):
    def edit(config):
        config.model.teacher.cache_dir = str(tmp_path / 'cache')
        if teacher_pipeline:
            dataset = config.train_dataloader.dataset
            load, crop, flip, *_, pack = dataset.labelled.pipeline
            dataset.teacher_pipeline = [load, dict(crop, scale=64), flip, pack]

    first = small_runner('first', edit=edit)
    first.train()
    before = weights(first)
    damage(first.model.teacher.store)
    second = small_runner('second', edit=edit)
    asked = asked_of(second)
    second.train()
    assert sum(asked) > 2
    for name, value in weights(second).items():
        torch.testing.assert_close(value, before[name], rtol=1e-2, atol=1e-2)


def test_standardised_features_are_stored_as_they_were(small_runner):
    def edit(config):
        config.custom_hooks.append(dict(type='StandardizeTeacherHook'))

    plain, standardised = small_runner('a'), small_runner('b', edit=edit)
    plain.train()
    standardised.train()
    model = standardised.model
    first_view = torch.from_numpy(
        model.teacher.store._arrays['feature'][:, 0]
    ).float()
    assert model.teacher.store.present(
        torch.arange(18), torch.zeros(18, dtype=torch.long)
    ).all()
    assert torch.allclose(
        model.teacher.feature_mean, first_view.mean(0), atol=1e-5
    )
    theirs = plain.model.teacher.store
    both = [
        (index, view)
        for index in range(18)
        for view in range(4)
        if theirs._checksums[index, view]
        and model.teacher.store._checksums[index, view]
    ]
    assert both
    for index, view in both:
        torch.testing.assert_close(
            torch.from_numpy(theirs._arrays['feature'][index, view]),
            torch.from_numpy(model.teacher.store._arrays['feature'])[
                index, view
            ],
            rtol=2e-3,
            atol=2e-3,
        )


def test_tokens_and_logits_with_their_grid(small_runner):
    def edit(config):
        config.model.teacher.outputs = ['feature', 'logits', 'tokens']

    runner = small_runner(edit=edit)
    runner.train()
    teacher = runner.model.teacher
    assert teacher.store.shapes == dict(
        feature=(256,), logits=(1000,), tokens=(9, 256)
    )
    assert teacher.store.manifest['grid'] == [3, 3]
    sample = next(iter(runner.train_dataloader))['data_samples'][:1]
    output = teacher.recall(sample, ('tokens',), lambda positions: None)
    assert output.tokens.shape == (1, 9, 256) and output.grid == (3, 3)
    assert output.feature is None


def changed_teacher(config):
    config.model.teacher.teacher.model_name = 'test_efficientnet_ln'


def changed_size(config):
    config.model.teacher.teacher.input_size = 64


def changed_pipeline(config):
    for stream in ('labelled', 'unlabelled'):
        dataset = config.train_dataloader.dataset[stream]
        dataset.pipeline[1].crop_ratio_range = (0.25, 1.0)


def changed_seed(config):
    config.train_dataloader.dataset.seed = 1


def changed_views(config):
    config.train_dataloader.sampler.num_views = 3


def changed_mean(config):
    config.data_preprocessor.mean = [0.0, 0.0, 0.0]


def changed_data(config):
    root = Path(config.data_root)
    image = sorted((root / 'photo' / 'cat').iterdir())[0]
    image.rename(image.with_name('another' + image.suffix))


def changed_images(config):
    root = Path(config.data_root)
    images = sorted((root / 'photo' / 'cat').iterdir())
    images[0].write_bytes(images[1].read_bytes())


def changed_dtype(config):
    config.model.teacher.cache_dtype = 'float32'


def test_a_cache_of_something_else_is_refused(small_runner, tmp_path):
    def shared(config):
        config.model.teacher.cache_dir = str(tmp_path / 'cache')

    open_cache(small_runner('first', edit=shared))
    for change, words in [
        (changed_teacher, "with teacher='test_efficientnet', but .*_ln'"),
        (changed_size, r'input_size=None, but this run has \[64, 64\]'),
        (
            changed_pipeline,
            r'pipelines.labelled.1.crop_ratio_range.0=0.5, but .* has 0.25',
        ),
        (changed_seed, 'seed=0, but this run has 1'),
        (changed_views, 'views=4, but this run has 3'),
        (changed_mean, 'student_input.mean.0=123.6.*, but this run has 0.0'),
        (changed_dtype, "dtype='float16', but this run has 'float32'"),
        # These two change the files themselves, so they come last.
        (changed_images, 'dataset_sha256='),
        (changed_data, 'dataset_sha256='),
    ]:

        def other(config, change=change):
            shared(config)
            change(config)

        with pytest.raises(UserError, match=words):
            small_runner('second', edit=other).train()


def test_damaged_weights_are_another_teacher(small_runner, tmp_path):
    def shared(config):
        config.model.teacher.cache_dir = str(tmp_path / 'cache')

    open_cache(small_runner('first', edit=shared))
    runner = small_runner('second', edit=shared)
    next(runner.model.teacher.parameters()).data[0] += 1
    with pytest.raises(UserError, match="teacher_sha256='[0-9a-f]{64}'"):
        runner.train()


def test_a_truncated_file_is_refused(small_runner, tmp_path):
    open_cache(small_runner('first'))
    path = tmp_path / 'first' / 'teacher_cache' / 'feature.f16'
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError, match='feature.f16: has .* bytes, but'):
        small_runner('first').train()


def test_a_manifest_says_what_it_depends_on(small_runner, tmp_path):
    open_cache(small_runner('first'))
    path = tmp_path / 'first' / 'teacher_cache' / 'manifest.json'
    manifest = json.loads(path.read_text())
    assert manifest['pipelines']['labelled'][1] == dict(
        type='RandomResizedCrop',
        scale=[96, 96],
        crop_ratio_range=[0.5, 1.0],
        aspect_ratio_range=[3 / 4, 4 / 3],
        max_attempts=10,
        interpolation='bilinear',
        backend='cv2',
    )
    assert '0x' not in path.read_text()


@pytest.mark.parametrize(
    'options, words',
    [
        ({'train_dataloader.sampler.num_views': None}, 'num_views'),
        ({'model.teacher.outputs': ['logits']}, 'leaves it out'),
        ({'model.teacher.outputs': ['maps']}, "'maps' cannot be cached"),
        ({'model.teacher.cache_dtype': 'int8'}, "dtype='int8' is not"),
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
def test_what_cannot_be_cached_is_refused(small_runner, options, words):
    with pytest.raises(UserError, match=words):
        small_runner(**options).train()


def test_without_the_hook_it_is_refused(small_runner):
    def edit(config):
        config.custom_hooks = [
            hook
            for hook in config.custom_hooks
            if hook.type != 'TeacherCacheHook'
        ]

    with pytest.raises(UserError, match='TeacherCacheHook'):
        small_runner(edit=edit).train()


def test_nothing_for_a_teacher_that_is_not_cached(small_runner, tmp_path):
    small_runner('live', edit=live).train()
    small_runner(
        'none',
        name='labelled_only/labelled_only_mbv3_domain_folder.py',
        **{'train_dataloader.batch_size': 2, 'train_cfg.max_epochs': 1},
    ).train()
    assert not list(tmp_path.rglob('teacher_cache'))
