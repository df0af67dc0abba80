"""What the hooks before training do to a teacher made of other teachers."""

import pytest
import torch

from mmkd_custom.cache import CachedTeacher, TeacherCacheHook
from mmkd_custom.engine.hooks.standardize_teacher import StandardizeTeacherHook
from mmkd_custom.engine.hooks.teacher_report import TeacherReportHook
from mmkd_custom.models.teachers import (
    AdaptedTeacher,
    EnsembleTeacher,
    ProbedTeacher,
    TimmTeacher,
)
from mmkd_custom.models.teachers.base import FrozenTeacher
from mmkd_custom.models.teachers.wrappers.adapted import Adaptation
from mmkd_custom.models.teachers.wrappers.probed import Probe

CLASSES = ['cat', 'dog', 'owl']


def probed(tmp_path, name='test_vit', size=32):
    inner = TimmTeacher(name, input_size=size)
    width = inner.feature_dim
    Probe(
        tensors=dict(
            weight=torch.randn(3, width),
            bias=torch.randn(3),
            mean=torch.randn(width),
            std=torch.rand(width) + 1,
        ),
        normalization='standardize',
        classes=CLASSES,
        teacher=inner.name,
        teacher_sha256=inner.digest(),
        feature='pooled',
        input='',
    ).save(tmp_path / name)
    return ProbedTeacher(inner, str(tmp_path / name))


def adapted(tmp_path):
    config = dict(
        type='TimmTeacher',
        model_name='test_vit',
        checkpoint=str(tmp_path / 'vit.pth'),
        input_size=32,
    )
    torch.save(
        TimmTeacher('test_vit').model.state_dict(), tmp_path / 'vit.pth'
    )
    inner = TimmTeacher('test_vit', checkpoint=config['checkpoint'])
    Adaptation(
        tensors={
            'head.weight': torch.randn(3, inner.feature_dim),
            'head.bias': torch.randn(3),
            'norm/model.norm.bias': torch.randn(inner.feature_dim),
        },
        mode='norm',
        teacher=inner.name,
        teacher_sha256=inner.digest(),
        classes=CLASSES,
        feature='pooled',
    ).save(tmp_path / 'adaptation')
    return AdaptedTeacher(config, str(tmp_path / 'adaptation'))


def ensemble(tmp_path):
    """Of probed teachers that see images of different sizes."""
    return EnsembleTeacher(
        [probed(tmp_path), probed(tmp_path, 'test_efficientnet', 64)], [1, 3]
    )


@pytest.mark.parametrize('make', [probed, adapted, ensemble])
def test_cached_standardised_and_reported(make, small_runner, tmp_path):
    runner = small_runner()
    model = runner.model
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    teacher = make(tmp_path)
    cached = CachedTeacher(teacher, cache_dtype='float32')
    model.teachers['teacher'] = cached
    wants = ('feature', 'logits')
    model.asked = lambda name, any_view=False: wants
    dataset = runner.train_dataloader.dataset
    samples = [dataset[(i, 0)] for i in range(len(dataset))]
    data = runner.train_dataloader.collate_fn(samples)
    batch = model.batch(**model.data_preprocessor(data, True))
    plain = FrozenTeacher.ask(cached, batch, wants)
    digest = teacher.digest()

    # Twice, as when training starts twice.
    for _ in range(2):
        TeacherCacheHook().before_train(runner)
        StandardizeTeacherHook(batch_size=5).before_train(runner)
    live = FrozenTeacher.ask(cached, batch, wants)
    deviations, means = torch.std_mean(plain.feature, 0, unbiased=False)
    wanted = (plain.feature - means) / deviations.clamp_min(
        0.1 * deviations.mean()
    )
    torch.testing.assert_close(live.feature, wanted, rtol=1e-3, atol=1e-3)
    # The head was fitted to the feature as it was.
    torch.testing.assert_close(live.logits, plain.logits)

    TeacherReportHook().before_train(runner)
    asked = []
    teacher.register_forward_pre_hook(lambda *_: asked.append(True))
    kept = cached.ask(batch, wants)
    # Standardising asked about every image already.
    assert not asked
    torch.testing.assert_close(kept.feature, live.feature, rtol=0, atol=1e-3)
    torch.testing.assert_close(kept.logits, live.logits, rtol=0, atol=1e-3)
    assert model.teacher.digest() == teacher.digest() == digest
