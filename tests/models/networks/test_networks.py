"""Networks that a distiller owns."""

import copy

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models import AveragedStudent, Distiller
from mmkd_custom.models.networks import SoftLabels
from mmkd_custom.models.networks.soft_labels import save_soft_labels
from tests.helpers import (
    IMAGE_SIZE,
    digests,
    make_batch,
    student_config,
    teacher_config,
)

LABELS = [0, 1, None, None]
MEAN_TEACHER = dict(
    loss=dict(type='KLDivergence', temperature=1.0),
    on=('student.logits', 'ema.logits'),
)


def build(networks, terms, teacher=None):
    torch.manual_seed(0)
    model = Distiller(
        student_config(),
        teacher,
        terms,
        networks=networks,
        input_size=IMAGE_SIZE,
        data_preprocessor=dict(num_classes=5),
    )
    return model.train()


def data_of(model, seed=0):
    return model.data_preprocessor(make_batch(LABELS, seed), True)


def step(model, seed):
    """One step by hand, as StageHook and an optimiser take it."""
    total, _ = model.parse_losses(model.loss(**data_of(model, seed)))
    model.zero_grad()
    total.backward()
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter -= 0.1 * parameter.grad
    model.after_step()


def averaged(momentum=0.5):
    return build(
        dict(ema=dict(type='AveragedStudent', momentum=momentum)),
        dict(mean=MEAN_TEACHER),
    )


def test_the_average_is_that_of_the_students_steps():
    model = averaged()
    average = model.networks['ema'].model
    expected = None
    for t in range(4):
        step(model, t)
        now = {
            k: v.detach().clone() for k, v in model.student.named_parameters()
        }
        d = min(0.5, (1 + t) / (10 + t)) if t else 0.0
        expected = {
            k: v if expected is None else d * expected[k] + (1 - d) * v
            for k, v in now.items()
        }
    for name, value in average.named_parameters():
        torch.testing.assert_close(value, expected[name])
        assert value.grad is None and not value.requires_grad
    for mine, theirs in zip(average.buffers(), model.student.buffers()):
        assert torch.equal(mine, theirs)
    assert not average.training


def test_before_the_first_step_it_is_the_student_that_was_loaded():
    model = averaged()
    other = averaged()
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(0.1)
    batch = model.batch(**data_of(model))
    ours = model.networks['ema'].ask(batch, ('logits',)).logits
    model.eval()
    theirs = model.student_view.run(batch.views['student']).logits
    torch.testing.assert_close(ours, theirs)
    assert not ours.requires_grad and theirs.requires_grad
    assert digests(other.networks['ema'].model) != digests(
        model.networks['ema'].model
    )


def test_it_goes_on_from_a_checkpoint_bit_for_bit():
    whole = averaged()
    for seed in range(4):
        torch.manual_seed(seed)
        step(whole, seed)
    first = averaged()
    for seed in range(2):
        torch.manual_seed(seed)
        step(first, seed)
    second = averaged()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for seed in range(2, 4):
        torch.manual_seed(seed)
        step(second, seed)
    assert digests(second) == digests(whole)


def test_it_offers_the_students_maps():
    model = build(
        dict(ema=dict(type='AveragedStudent')),
        dict(
            hint=dict(
                loss=dict(type='MSE'), on=('student.maps.1', 'ema.maps.1')
            )
        ),
    )
    model.set_stage('distillation')
    model.after_step()
    losses = model.eval().loss(**data_of(model))
    assert losses['loss_hint'].item() == 0
    twin = copy.deepcopy(model)
    with torch.no_grad():
        next(twin.student.parameters()).add_(0.1)
    assert twin.loss(**data_of(twin))['loss_hint'].item() > 0
    assert model.loss(**data_of(model))['loss_hint'].item() == 0


@pytest.mark.parametrize('momentum', [1.0, -0.1, 'a'])
def test_wrong_momentum(momentum):
    with pytest.raises(UserError, match='AveragedStudent.momentum'):
        AveragedStudent(momentum)


class Images:
    """A training dataset of which only the digest is asked."""

    def __init__(self, digest):
        self.digest = digest

    def samples_sha256(self):
        return self.digest


def test_soft_labels_are_found_by_sample(tmp_path):
    table = torch.randn(9, 5)
    file = tmp_path / 'labels.safetensors'
    save_soft_labels(file, table, 'abc')
    model = build(
        dict(labels=dict(type='SoftLabels', file=str(file))),
        dict(
            soft=dict(
                loss=dict(type='KLDivergence', temperature=1.0),
                on=('student.logits', 'labels.logits'),
                streams='unlabelled',
            )
        ),
    )
    labels = model.networks['labels']
    labels.check(Images('abc'))
    with pytest.raises(UserError, match='labels.safetensors'):
        labels.check(Images('def'))
    assert not [k for k in model.state_dict() if 'table' in k]
    data = data_of(model)
    for index, sample in zip((3, 0, 8, 5), data['data_samples']):
        sample.set_metainfo(dict(sample_idx=index))
    batch = model.batch(**data)
    assert torch.equal(
        labels.ask(batch, ('logits',)).logits, table[[3, 0, 8, 5]]
    )
    assert torch.isfinite(model.loss(**data)['loss_soft'])
    assert model.images('distillation') == ('student',)


@pytest.mark.parametrize('kind', ['missing', 'other', 'classes'])
def test_wrong_files_of_soft_labels_are_named(tmp_path, kind):
    file = tmp_path / 'labels.safetensors'
    if kind == 'other':
        file.write_bytes(b'nothing')
    if kind == 'classes':
        save_soft_labels(file, torch.zeros(9, 4), 'abc')
    with pytest.raises(UserError, match='labels.safetensors'):
        build(dict(labels=SoftLabels(file)), {})


def test_a_probe_without_the_hook_that_fits_it_is_refused():
    def with_probe():
        return build(
            dict(probe=dict(type='LinearProbe', fitted=True)),
            dict(
                kd=dict(
                    loss=dict(type='KLDivergence', temperature=1.0),
                    on=('student.logits', 'probe.logits'),
                )
            ),
            teacher_config(),
        )

    model = with_probe()
    with pytest.raises(UserError, match='FitProbeHook'):
        model.loss(**data_of(model))
    probe = model.networks['probe']
    probe.fill(probe.fc.weight, probe.fc.bias)
    assert torch.isfinite(model.loss(**data_of(model))['loss_kd'])
    # Resumed, it is filled.
    resumed = with_probe()
    resumed.load_state_dict(model.state_dict())
    assert torch.isfinite(resumed.loss(**data_of(resumed))['loss_kd'])


def test_a_probe_of_an_averaged_student():
    probe = dict(type='LinearProbe', of='ema')
    model = build(
        dict(ema=dict(type='AveragedStudent'), probe=probe),
        dict(
            probe=dict(
                loss=dict(type='CrossEntropy'),
                on=('probe.logits', 'batch.targets'),
                streams='labelled',
            )
        ),
    )
    assert list(model.wants('distillation')) == ['student', 'ema', 'probe']
    assert torch.isfinite(model.loss(**data_of(model))['loss_probe'])
    wrong = dict(
        loss=dict(type='MSE'), on=('student.logits', 'probe@strong.logits')
    )
    with pytest.raises(UserError, match='probe@strong'):
        build(
            dict(ema=dict(type='AveragedStudent'), probe=probe), dict(x=wrong)
        )


def test_a_probe_learns_mixed_labels_as_the_student_does():
    model = build(
        dict(probe=dict(type='LinearProbe')),
        dict(
            probe=dict(
                loss=dict(type='CrossEntropy'),
                on=('probe.logits', 'batch.targets'),
                streams='labelled',
            )
        ),
        teacher_config(),
    )
    data = data_of(model)
    scores = torch.tensor([[0.3, 0.7, 0, 0, 0], [0, 0, 0.5, 0.5, 0]])
    for sample, score in zip(data['data_samples'], scores):
        sample.set_gt_score(score)
    logits = model.networks['probe'].fc(
        model.teacher.ask(model.batch(**data), ('feature',)).feature[:2]
    )
    expected = -(scores * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(model.loss(**data)['loss_probe'], expected)


def test_a_probe_of_a_named_teacher():
    torch.manual_seed(0)
    model = Distiller(
        student_config(),
        teachers=dict(clip=teacher_config(), mim=teacher_config()),
        networks=dict(probe=dict(type='LinearProbe', of='clip')),
        terms=dict(
            kd=dict(
                loss=dict(type='MSE'), on=('student.logits', 'probe.logits')
            )
        ),
        input_size=IMAGE_SIZE,
    )
    assert list(model.wants('distillation')) == ['clip', 'student', 'probe']
    assert model.asked('clip') == ('feature',) and model.asked('mim') == ()
    for wrong in ('mim.x', 'nobody'):
        with pytest.raises(UserError, match=wrong.split('.')[0]):
            Distiller(
                student_config(),
                teachers=dict(clip=teacher_config()),
                networks=dict(probe=dict(type='LinearProbe', of=wrong)),
                input_size=IMAGE_SIZE,
            )
