"""The teacher's feature is standardised by one view of every image."""

import pytest
import torch

from mmkd_custom.cache import TeacherCacheHook
from mmkd_custom.engine.hooks.standardize_teacher import StandardizeTeacherHook
from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.standardization import STATISTICS
from mmkd_custom.utils.runs import left_by_run


def cached(config, dtype='float16'):
    config.custom_hooks.append(
        dict(type='StandardizeTeacherHook', batch_size=5)
    )
    if 'teacher' in config.model:
        config.model.teacher.cache_dtype = dtype


def exact(config):
    cached(config, 'float32')


def live(config):
    """Has the teacher asked every time."""
    cached(config)
    config.model.teacher = config.model.teacher.teacher


def run(small_runner, work_dir='work', edit=cached, **options):
    """Trains a small config with one hook more, which standardises."""
    runner = small_runner(work_dir, edit=edit, **options)
    runner.train()
    return runner


def first_views(runner):
    """A batch of the first view of every image."""
    model, loader = runner.model, runner.train_dataloader
    samples = [loader.dataset[(i, 0)] for i in range(len(loader.dataset))]
    data = model.data_preprocessor(loader.collate_fn(samples), True)
    return model.batch(**data)


def check(feature):
    """Asserts that each dimension has mean 0 and variance 1."""
    std = feature.double().std(0, unbiased=False)
    torch.testing.assert_close(
        feature.double().mean(0), torch.zeros_like(std), rtol=0, atol=1e-4
    )
    # A dimension that hardly varies is not blown up to variance 1.
    assert std.max() <= 1 + 1e-3
    assert (std > 0.999).float().mean() > 0.5


def test_one_view_has_mean_0_and_variance_1(small_runner):
    runner = run(small_runner, edit=live)
    batch = first_views(runner)
    check(runner.model.teacher.ask(batch, ('feature',)).feature)


def test_what_the_cache_gives_is_standardised(small_runner):
    runner = run(small_runner)
    teacher, batch = runner.model.teacher, first_views(runner)
    feature = teacher.ask(batch, ('feature',)).feature
    # Rounded to float16, and the statistics are those of what is rounded.
    check(feature)
    # On disk it is as it was before, for runs that do not standardise.
    keys = torch.arange(len(feature)), torch.zeros(len(feature)).long()
    stored, right = teacher.store.read(*keys)
    assert right.all()
    stored = stored['feature'].to(feature)
    torch.testing.assert_close(
        (stored - teacher.feature_mean) / teacher.feature_std, feature
    )
    assert stored.std(0).max() < 0.1


def rotate(small_runner, how=True):
    """A runner whose teacher is rotated, without a training."""
    runner = small_runner(edit=cached)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    for hook in (TeacherCacheHook(), StandardizeTeacherHook(5, rotate=how)):
        hook.before_train(runner)
    return runner


def test_principal_directions_of_one_common_scale(small_runner):
    runner = rotate(small_runner)
    teacher, batch = runner.model.teacher, first_views(runner)
    feature = teacher.ask(batch, ('feature',)).feature.double()
    covariance = torch.cov(feature.T, correction=0)
    variances = covariance.diagonal()
    assert variances.mean() == pytest.approx(1, rel=1e-4)
    assert (variances.diff() < 1e-4).all()
    assert (covariance - variances.diag()).abs().max() < 1e-3
    torch.testing.assert_close(
        feature.mean(0), torch.zeros_like(variances), rtol=0, atol=1e-4
    )
    # Distances are those of the feature as it was, in another unit.
    stored = teacher.store.read(
        torch.arange(len(feature)), torch.zeros(len(feature)).long()
    )[0]['feature']
    torch.testing.assert_close(
        torch.cdist(feature, feature).cpu().float()
        * float(teacher.feature_std[0]),
        torch.cdist(stored, stored),
        rtol=1e-3,
        atol=1e-4,
    )
    # A run that reads the cache has the same axes, bit for bit.
    second = rotate(small_runner).model.teacher
    for name in STATISTICS:
        assert torch.equal(getattr(teacher, name), getattr(second, name))


def test_directions_mixed_until_each_dimension_has_variance_one(small_runner):
    runner = rotate(small_runner, 'hadamard')
    feature = runner.model.teacher.ask(first_views(runner), ('feature',))
    covariance = torch.cov(feature.feature.double().T, correction=0)
    ones = torch.ones(len(covariance), dtype=torch.float64)
    torch.testing.assert_close(covariance.diagonal(), ones, rtol=0, atol=1e-3)
    with pytest.raises(UserError, match='StandardizeTeacherHook.rotate'):
        StandardizeTeacherHook(rotate='phi')


def test_the_same_with_the_cache_and_without(small_runner):
    teachers = []
    for edit in (live, exact, cached):
        runner = small_runner(edit.__name__, edit=edit)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        for hook in (TeacherCacheHook(), StandardizeTeacherHook(5)):
            hook.before_train(runner)
        teachers.append(runner.model.teacher)
    for first, other, digits in (
        (teachers[0], teachers[1], 1e-5),
        # To what float16 rounds.
        (teachers[0], teachers[2], 1e-3),
    ):
        for name in ('feature_mean', 'feature_std'):
            torch.testing.assert_close(
                getattr(first, name),
                getattr(other, name),
                rtol=digits,
                atol=digits,
            )


def test_a_second_run_has_the_same_statistics(small_runner, tmp_path):
    first = run(small_runner).model.teacher
    for path in left_by_run(tmp_path / 'work'):
        path.unlink()
    # The second one reads what the first one kept.
    second = run(small_runner).model.teacher
    assert torch.equal(first.feature_mean, second.feature_mean)
    assert torch.equal(first.feature_std, second.feature_std)


def test_the_weights_stay_as_they_are(small_runner):
    runner = small_runner(edit=cached)
    digest = runner.model.teacher.digest()
    runner.train()
    assert runner.model.teacher.digest() == digest
    assert not [k for k in runner.model.state_dict() if 'feature_' in k]


def test_nothing_for_a_model_without_teacher(small_runner):
    runner = run(
        small_runner,
        name='labelled_only/labelled_only_mbv3_domain_folder.py',
        **{'train_dataloader.batch_size': 2, 'train_cfg.max_epochs': 1},
    )
    assert getattr(runner.model, 'teacher', None) is None


def test_batch_augmentations_are_refused(small_runner):
    with pytest.raises(UserError, match='augments'):
        run(
            small_runner,
            edit=live,
            **{
                'data_preprocessor.batch_augments': dict(
                    augments=dict(type='Mixup', alpha=1.0)
                )
            },
        )


def test_a_wrong_batch_size_is_named():
    with pytest.raises(UserError, match='StandardizeTeacherHook.batch_size'):
        StandardizeTeacherHook(0)
