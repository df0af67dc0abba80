"""Asking the teacher once gives what asking it every time gives."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.distillers import make_batch


def test_memory_equals_the_live_teacher(small_runner):
    runner = small_runner()
    runner.train()
    model, memory = runner.model, runner.model.teacher_memory
    assert memory.feature.shape[:2] == (18, 4)
    for batch in runner.train_dataloader:
        data = model.data_preprocessor(batch, False)
        batch = make_batch(**data)
        live = model.ask_teacher(batch).feature
        kept, _ = model.run_teacher(batch)
        torch.testing.assert_close(kept.feature, live, rtol=1e-5, atol=1e-5)


def test_the_teacher_is_not_asked_while_training(small_runner):
    runner = small_runner()
    asked = []
    runner.model.teacher.register_forward_pre_hook(
        lambda _, args: asked.append(len(args[0]))
    )
    runner.train()
    # The report at the start asks about one image, twice.
    assert asked[:2] == [1, 1]
    assert sum(asked[2:]) == 18 * 4


def test_nothing_for_a_model_without_teacher(small_runner):
    runner = small_runner(
        name='baselines/source_only_mbv3_domain_folder.py',
        **{'train_dataloader.batch_size': 2, 'train_cfg.max_epochs': 1},
    )
    runner.train()
    assert not hasattr(runner.model, 'teacher_memory')


@pytest.mark.parametrize(
    'options, words',
    [
        ({'train_dataloader.sampler.num_views': None}, 'num_views'),
        ({'custom_hooks.6.max_gigabytes': 1e-9}, 'max_gigabytes'),
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
def test_what_cannot_be_kept_is_refused(small_runner, options, words):
    with pytest.raises(UserError, match=words):
        small_runner(**options).train()
