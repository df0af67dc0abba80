"""A cached run is the run that it saves the teacher's work of."""

import pytest
import torch

STANDARDIZE = dict(type='StandardizeTeacherHook')


def live(config):
    """Has the teacher asked every time."""
    config.model.teacher = config.model.teacher.teacher


def exact(config):
    config.model.teacher.cache_dtype = 'float32'


def teacher_view(config, size=96):
    dataset = config.train_dataloader.dataset
    load, crop, flip, *_, pack = dataset.labelled.pipeline
    steps = [load, dict(crop, scale=size), flip, pack]
    dataset.pipelines = dict(teacher=steps)


def asked_of(runner):
    """Numbers of images of the passes of the teacher's network."""
    asked = []
    runner.model.teacher.teacher.register_forward_pre_hook(
        lambda _, args: asked.append(len(args[0]))
    )
    return asked


def weights(runner):
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


def test_filling_reading_and_live_runs_are_alike(small_runner, tmp_path):
    def shared(config):
        exact(config)
        config.model.teacher.cache_dir = str(tmp_path / 'cache')

    filling = small_runner('filling', edit=shared, epochs=4)
    filled = asked_of(filling)
    filling.train()
    assert filling.model.teacher.store.shapes == {'feature': (256,)}
    assert sum(filled) > 2
    reading = small_runner('reading', edit=shared, epochs=4)
    read = asked_of(reading)
    reading.train()
    # The report at the start asks about one image, twice.
    assert read == [1, 1]
    ours, theirs = weights(filling), weights(reading)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    lively = small_runner('live', edit=live, epochs=4)
    lively.train()
    losses = [
        runner.message_hub.get_scalar('train/loss').data[0]
        for runner in (filling, lively)
    ]
    # The same images went through the teacher in other batches.
    assert len(losses[0]) == len(losses[1]) > 4
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize('own', [False, True])
def test_images_are_made_for_whom_they_are_needed(small_runner, own):
    edit = teacher_view if own else lambda config: None
    runner = small_runner(epochs=10, edit=edit)
    keys = {}
    preprocess = runner.model.data_preprocessor.forward

    def watched(data, training=False):
        if training:
            names = {*data, *data.get('views', ())} - {'views'}
            keys.setdefault(runner.epoch, set()).add(frozenset(names))
        return preprocess(data, training)

    runner.model.data_preprocessor.forward = watched
    student = []
    runner.model.student.backbone.register_forward_pre_hook(
        lambda *_: student.append(runner.epoch)
    )
    runner.train()
    label, both = {'data_samples'}, {'data_samples', 'inputs'}
    # Five batches of two labelled images are one view of nine and a bit. The
    # cache holds all four once both stages have been through them.
    teacher = {'teacher'} if own else {'inputs'}
    assert keys[0] == {frozenset(label | teacher)}
    assert both | teacher in keys[1]
    assert keys[8] == {frozenset(label)} and keys[9] == {frozenset(both)}
    assert set(student) == {1, 3, 5, 7, 9}


def damage(store):
    """Changes a byte of every entry, as a torn write might."""
    array = store._arrays['feature'].view('uint8')
    array[..., 0] ^= 1
    store.flush()


@pytest.mark.parametrize('own', [False, True])
def test_damaged_entries_are_made_again(small_runner, tmp_path, own):
    def edit(config):
        config.model.teacher.cache_dir = str(tmp_path / 'cache')
        if own:
            teacher_view(config, size=64)

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
        config.custom_hooks.append(STANDARDIZE)

    runner = small_runner(edit=edit)
    runner.train()
    teacher = runner.model.teacher
    stored = torch.from_numpy(teacher.store._arrays['feature'][:, 0]).float()
    assert teacher.store._checksums[:, 0].all()
    found = teacher.feature_mean.cpu()
    assert torch.allclose(found, stored.mean(0), atol=1e-5)


def test_tokens_and_maps_are_cached(small_runner):
    def edit(config):
        config.model.teacher.outputs = ['feature', 'logits', 'tokens', 'maps']

    runner = small_runner(edit=edit)
    runner.train()
    teacher = runner.model.teacher
    shapes = dict(teacher.store.shapes)
    stages = [name for name in shapes if name.startswith('maps.')]
    assert len(stages) > 1
    assert [len(shapes.pop(name)) for name in stages] == [3] * len(stages)
    assert shapes == dict(feature=(256,), logits=(1000,), tokens=(9, 256))
    assert teacher.store.manifest['grid'] == [3, 3]
    assert teacher.store.grid == (3, 3)


def several(config):
    """Two cached teachers and one that is not, of vectors, tokens, maps."""
    teacher = config.model.teacher
    # Else the shape of its maps is that of a dry run at another size.
    teacher.teacher.input_size = 96

    def term(on):
        return dict(
            loss=dict(type='MSE'),
            on=('student.feature', on),
            connector=dict(type='LinearConnector'),
        )

    config.model = dict(
        type='Distiller',
        student=config.model.student,
        teachers=dict(
            one=teacher, two=teacher, three=config.model.teacher.teacher
        ),
        terms=dict(
            a=term('one.feature'),
            b=dict(
                loss=dict(type='MSE'),
                on=('student.maps.2', 'two.maps.2'),
                connector=dict(type='SpatialConnector'),
            ),
            c=term('three.feature'),
        ),
    )
    teacher_view(config)


def test_several_teachers_have_a_cache_each(small_runner, tmp_path):
    runner = small_runner(edit=several, epochs=2)
    looked = []
    runner.model.teachers['three'].register_forward_pre_hook(
        lambda _, args: looked.append(len(args[0]))
    )
    runner.train()
    one, two, _ = runner.model.teachers.values()
    work_dir = tmp_path / 'work'
    assert one.store.folder == work_dir / 'teacher_cache_one'
    assert two.store.folder == work_dir / 'teacher_cache_two'
    assert list(one.store.shapes) == ['feature']
    assert {name[:5] for name in two.store.shapes} == {'maps.'}
    assert 0 < one.store.count_missing() == two.store.count_missing() < 72
    # The third is asked in every step, so no image is spared.
    assert looked[-10:] == [4] * 10
    batches = runner.train_dataloader.batch_sampler
    three = runner.model.teachers['three']
    for holds, images in (
        (False, ('student', 'teacher')),
        (True, ('student',)),
    ):
        three.holds = lambda keys, wants, holds=holds: holds
        batches.sampler.set_epoch(0)
        assert {key.images for key in next(iter(batches))} == {images}


def test_nothing_for_a_teacher_that_is_not_cached(small_runner, tmp_path):
    small_runner('live', edit=live).train()
    small_runner(
        'none',
        name='labelled_only/labelled_only_mbv3_domain_folder.py',
        **{'train_dataloader.batch_size': 2, 'train_cfg.max_epochs': 1},
    ).train()
    assert not list(tmp_path.rglob('teacher_cache'))
