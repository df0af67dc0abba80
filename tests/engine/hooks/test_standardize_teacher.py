"""The teacher's feature is standardised by one view of every image."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.distillers import make_batch

HOOK = dict(type='StandardizeTeacherHook', batch_size=5)


def run(small_runner, **options):
    """Trains a small config whose seventh hook standardises."""
    runner = small_runner(**{'custom_hooks.6': HOOK, **options})
    runner.train()
    return runner


def test_one_view_has_mean_0_and_variance_1(small_runner):
    runner = run(small_runner)
    model, dataset = runner.model, runner.train_dataloader.dataset
    assert model.teacher_memory is None
    samples = [dataset[(i, 0)] for i in range(len(dataset))]
    batch = runner.train_dataloader.collate_fn(samples)
    batch = make_batch(**model.data_preprocessor(batch, False))
    feature = model.ask_teacher(batch).feature.double()
    std = feature.std(0, unbiased=False)
    torch.testing.assert_close(
        feature.mean(0), torch.zeros_like(std), rtol=0, atol=1e-4
    )
    # A dimension that hardly varies is not blown up to variance 1.
    assert std.max() <= 1 + 1e-3
    assert (std > 0.999).float().mean() > 0.5


def test_the_memory_keeps_standardised_features(small_runner):
    # In place of the progress display; the seventh hook is the memory's.
    runner = small_runner(**{'custom_hooks.4': HOOK})
    runner.train()
    first_view = runner.model.teacher_memory.feature[:, 0]
    torch.testing.assert_close(
        first_view.mean(0),
        torch.zeros_like(first_view[0]),
        rtol=0,
        atol=1e-4,
    )


def test_a_second_run_has_the_same_statistics(small_runner):
    first, second = (run(small_runner).model.teacher for _ in range(2))
    assert torch.equal(first.feature_mean, second.feature_mean)
    assert torch.equal(first.feature_std, second.feature_std)


def test_the_weights_stay_as_they_are(small_runner):
    runner = small_runner(**{'custom_hooks.6': HOOK})
    digest = runner.model.teacher.digest()
    runner.train()
    assert runner.model.teacher.digest() == digest
    assert not [k for k in runner.model.state_dict() if 'feature_' in k]


def test_nothing_for_a_model_without_teacher(small_runner):
    runner = small_runner(
        name='baselines/source_only_mbv3_domain_folder.py',
        **{
            'train_dataloader.batch_size': 2,
            'train_cfg.max_epochs': 1,
            'custom_hooks.6': HOOK,
        },
    )
    runner.train()
    assert not hasattr(runner.model, 'teacher')


def test_batch_augmentations_are_refused(small_runner):
    with pytest.raises(UserError, match='StandardizeTeacherHook.*augments'):
        run(
            small_runner,
            **{
                'data_preprocessor.batch_augments': dict(
                    augments=dict(type='Mixup', alpha=1.0)
                )
            },
        )
