"""What the teacher scores, against its own answers one by one.

That the numbers reach ``results.json`` is tested with the configs that have
the hook (``tests/configs/test_good_practices.py``).
"""

import pytest
import torch

from mmkd_custom.analysis import TeacherMetricsHook
from mmkd_custom.cache.opening import open_caches
from mmkd_custom.errors import UserError
from tests.runners import PLAIN

CONFIG = dict(name='benchmark/soft_target.py')


@pytest.fixture
def runner(small_runner):
    def give_a_head(config):
        config.model.teacher.teacher.num_classes = 3

    runner = small_runner(edit=give_a_head, validate=True, **CONFIG)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner._val_loop = runner.build_val_loop(runner._val_loop)
    open_caches(runner)
    return runner


@pytest.mark.parametrize('who', ['teacher', 'probe'])
def test_it_is_the_accuracy_of_the_teachers_own_answers(runner, who):
    model, loop = runner.model, runner.val_loop
    hook = TeacherMetricsHook(who, batch_size=4)
    hook.before_train(runner)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    model.train()
    hook.after_train(runner)
    found = runner.message_hub.get_info('teacher')

    assert model.training and torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])
    pipeline = runner.cfg.train_dataloader.dataset.pipelines.teacher
    assert pipeline[1].scale == (192, 192)
    right, teacher = 0, model.teachers['teacher'].teacher
    dataset = hook_images(runner)
    for item in dataset:
        images = item['inputs'][None].float().flip(1)
        mean, std = (
            torch.tensor(runner.cfg.data_preprocessor[k]).view(3, 1, 1)
            for k in ('mean', 'std')
        )
        inputs = teacher.prepare((images - mean) / std, *model_pixels(model))
        said = teacher(inputs, ('feature', 'logits'))
        logits = said.logits
        if who == 'probe':
            logits = model.networks['probe'].fc(said.feature)
        right += int(logits.argmax() == item['data_samples'].gt_label)
    assert found['accuracy/top1'] == pytest.approx(100 * right / len(dataset))
    assert len(dataset) == len(loop.dataloader.dataset)


def hook_images(runner):
    from mmkd_custom.analysis.teacher_metrics import _images

    images = _images(runner)
    assert images[0]['inputs'].shape[-2:] == (192, 192)
    return images


def model_pixels(model):
    return model.data_preprocessor.pixels


def test_who_cannot_answer_is_named(runner, small_runner):
    with pytest.raises(UserError, match='network'):
        TeacherMetricsHook('nobody').before_train(runner)
    runner.model.teachers['teacher'].teacher.num_classes = 5
    runner.model.teachers['teacher'].num_classes = 5
    with pytest.raises(UserError, match='TeacherMetricsHook.network'):
        TeacherMetricsHook().before_train(runner)
    plain = small_runner(work_dir='plain', **PLAIN)
    plain._train_loop = plain.build_train_loop(plain._train_loop)
    with pytest.raises(UserError, match='TeacherMetricsHook'):
        TeacherMetricsHook().before_train(plain)
