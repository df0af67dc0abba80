"""The hook says how alike features are, and the run does not notice it."""

import numpy as np
import pytest
import torch

from mmkd_custom.analysis import FeatureSimilarityHook
from mmkd_custom.analysis.asking import features_of
from mmkd_custom.analysis.similarity_hook import linear_cka
from mmkd_custom.cache import TeacherCacheHook
from mmkd_custom.errors import UserError


def watched(config):
    config.custom_hooks.append(dict(type='FeatureSimilarityHook', samples=7))


def measured(config):
    """With all that measures, and must change nothing."""
    watched(config)
    held_out = config.val_dataloader.dataset
    config.custom_hooks += [
        dict(type='SelectionHook', held_out=held_out),
        dict(type='GradientShareHook', interval=2),
    ]


def own_view(config):
    """With images for the teacher alone, which is not cached."""
    watched(config)
    config.model.teacher = config.model.teacher.teacher
    dataset = config.train_dataloader.dataset
    load, crop, flip, *_, pack = dataset.labelled.pipeline
    dataset.pipelines = dict(teacher=[load, dict(crop, scale=64), flip, pack])


def scalar(runner, name):
    return runner.message_hub.get_scalar(f'val/{name}').data[0]


@pytest.mark.slow
def test_the_run_is_the_same_bit_for_bit(small_runner):
    runs = []
    for edit in (measured, lambda config: None):
        runner = small_runner(
            edit.__name__,
            edit=edit,
            validate=True,
            **{'train_dataloader.sampler.epoch_length': 3},
        )
        runner.train()
        runs.append(runner)
    ours, theirs = (run.model.state_dict() for run in runs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    stores = [run.model.teacher.store for run in runs]
    arrays = [store._arrays['feature'] for store in stores]
    np.testing.assert_array_equal(*arrays)
    scalars, plain = (run.message_hub.log_scalars for run in runs)
    assert not [name for name in plain if 'cka' in name or 'share' in name]
    assert len(scalar(runs[0], 'cka_customized')) == 1
    shares = [v for k, v in scalars.items() if k.startswith('train/share_')]
    # Of the iterations 4 to 6, which distil by three terms.
    assert [len(each.data[0]) for each in shares] == [2, 2, 2]
    total = sum(each.current() for each in shares)
    assert total == pytest.approx(1, rel=1e-5)
    assert runs[0].model.monitor is None


@pytest.mark.parametrize('edit', [watched, own_view])
def test_the_scalars_are_those_of_the_features(small_runner, edit):
    runner = small_runner('work', edit=edit)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    model, dataset = runner.model, runner.train_dataloader.dataset
    hook = FeatureSimilarityHook(samples=7)
    for each in (TeacherCacheHook(), hook):
        each.before_train(runner)
    # Both streams, 9 images each.
    assert len(hook._indices) == 7
    assert hook._indices.min() < 9 <= hook._indices.max()
    hook.after_val_epoch(runner)
    store = getattr(model.teacher, 'store', None)
    # What the cache lacks is computed and not added.
    assert store is None or store.count_missing() == 72
    model.eval()
    items = [dataset[(int(index), 0)] for index in hook._indices]
    data = model.data_preprocessor(
        runner.train_dataloader.collate_fn(items), False
    )
    batch = model.batch(**data)
    with torch.no_grad():
        student = model.student_view.ask(batch, ('feature',)).feature
        taught = model.teacher.ask(batch, ('feature',)).feature
        customized = model.teacher_projection(taught)
    for name, feature in dict(
        cka_teacher=taught, cka_customized=customized
    ).items():
        value = float(linear_cka(student, feature))
        assert scalar(runner, name)[-1] == pytest.approx(value, abs=1e-3)
    # Now it is held, and read.
    indices, taught = hook._indices, taught.cpu()
    said = features_of(dataset, model, indices, ['teacher'], 5)['teacher']
    exact = store is not None
    assert torch.equal(said, taught) or not exact
    torch.testing.assert_close(said, taught, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_nothing_for_a_model_without_teacher(finished):
    (scalars,) = (finished / 'plain').glob('*/vis_data/scalars.json')
    assert 'f1-score' in scalars.read_text()
    assert 'cka' not in scalars.read_text()
    (scalars,) = (finished / 'distilled').glob('*/vis_data/scalars.json')
    assert scalars.read_text().count('cka_customized') == 1


@pytest.mark.parametrize('value', [2, 0.5])
def test_too_few_samples_are_refused(value):
    with pytest.raises(UserError, match=f'samples.*{value}'):
        FeatureSimilarityHook(samples=value)


def dense(first, second):
    """HSIC(K, L) = tr(K H L H), with the centring matrix H written out."""
    n = len(first)
    centring = np.eye(n) - np.ones((n, n)) / n

    def hsic(a, b):
        return np.trace(a @ a.T @ centring @ b @ b.T @ centring)

    return hsic(first, second) / np.sqrt(
        hsic(first, first) * hsic(second, second)
    )


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(12, 5)) + 3
    return first, first @ rng.normal(size=(5, 9)) + rng.normal(size=(12, 9))


def cka(first, second):
    return float(linear_cka(torch.tensor(first), torch.tensor(second)))


def test_is_that_of_the_definition(pair):
    assert cka(*pair) == pytest.approx(dense(*pair), abs=1e-12)
    assert 0.1 < cka(*pair) < 0.99
    assert cka(*pair) == pytest.approx(cka(*pair[::-1]), abs=1e-12)


def test_rotations_scales_and_shifts_change_nothing(pair):
    first, second = pair
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    alike = -7 * first @ turned + 100
    assert cka(first, alike) == pytest.approx(1, abs=1e-12)
    assert cka(alike, second) == pytest.approx(cka(first, second), abs=1e-9)
    # Stretching one direction is no rotation.
    assert cka(first, first * [9, 1, 1, 1, 1]) < 0.99


def test_by_hand():
    line, bend = [[-1.0], [0.0], [1.0]], [[1.0], [-2.0], [1.0]]
    assert cka(line, bend) == pytest.approx(0)
    # Gram matrices xx' and xx' + yy', squared norms 4 and 4 + 36.
    both = np.concatenate([line, bend], 1)
    assert cka(line, both) == pytest.approx(2 / np.sqrt(40))


def test_a_feature_that_is_the_same_for_all_is_like_nothing():
    assert np.isnan(cka(np.ones((3, 2)), np.eye(3)))
