"""The teacher's feature of every training sample."""

import pytest
import torch

from mmkd_custom.cache.opening import open_caches
from mmkd_custom.engine import teacher_pass
from mmkd_custom.engine.hooks.standardize_teacher import StandardizeTeacherHook
from mmkd_custom.engine.teacher_pass import teacher_features
from tests.cache.test_clean import clean
from tests.cache.test_runs import exact, live


def ready(runner):
    """A runner before its first epoch, its caches open."""
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    open_caches(runner)
    return runner


def asked(runner, views):
    """What the teacher itself says of some views of all samples, (V, N, D)."""
    model, loader = runner.model, runner.train_dataloader
    teacher = getattr(model.teacher, 'teacher', model.teacher)
    found = []
    for view in views:
        items = [loader.dataset[(i, view)] for i in range(len(loader.dataset))]
        data = model.data_preprocessor(loader.collate_fn(items), False)
        batch = model.batch(**data)
        found.append(teacher.ask(batch, ('feature',)).feature.cpu())
    return torch.stack(found)


@pytest.mark.parametrize('seen, views', [(None, range(4)), (clean, [0])])
def test_the_mean_over_the_views_that_are_kept(small_runner, seen, views):
    def edit(config):
        exact(config)
        if seen:
            seen(config)

    runner = ready(small_runner(edit=edit))
    features = teacher_features(runner, runner.model, batch_size=5)
    assert features.dtype == torch.float32
    expected = asked(runner, views)
    torch.testing.assert_close(features, expected.mean(0))
    # All of it is kept by now, and read.
    runner.model.teacher.teacher.forward = None
    again = teacher_features(runner, runner.model)
    torch.testing.assert_close(again, features)
    StandardizeTeacherHook().before_train(runner)
    standard = teacher_features(runner, runner.model)
    teacher = runner.model.teacher
    mean, std = teacher.feature_mean.cpu(), teacher.feature_std.cpu()
    torch.testing.assert_close(
        standard,
        (features - mean) / std,
        rtol=1e-4,
        atol=1e-4,
    )


def test_of_a_teacher_without_a_cache(small_runner):
    runner = ready(small_runner(edit=live))
    features = teacher_features(runner, runner.model)
    torch.testing.assert_close(features, asked(runner, [0])[0])


def test_ranks_share_the_work(small_runner, monkeypatch):
    runner = ready(small_runner(edit=clean))
    whole = teacher_features(runner, runner.model, batch_size=4)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(
            teacher_pass, 'get_dist_info', lambda rank=rank: (rank, 2)
        )
        parts.append(teacher_features(runner, runner.model, batch_size=4))
    assert torch.equal(sum(parts), whole)
    assert not (parts[0].any(1) & parts[1].any(1)).any()
