"""The student sees mixed images, and targets are mixed alike."""

import pytest
import torch
import torch.nn.functional as F

from mmkd_custom.errors import UserError
from mmkd_custom.models.mixing import UnlabelledMixup
from mmkd_custom.models.outputs import Outputs
from tests.helpers import build_customkd, make_batch

LABELS = [0, 1, 2, None, None, None, None]


@pytest.fixture
def model():
    model = build_customkd(
        mixup=1.0, prediction=dict(type='KLDivergence', temperature=1.0)
    )
    model.set_stage('distillation')
    # One function of an image, whatever the batch.
    return model.eval()


def losses_of(model, batch):
    torch.manual_seed(3)
    return model(**model.data_preprocessor(batch, True), mode='loss')


@torch.no_grad()
def test_losses_are_those_of_mixed_images_and_mixed_targets(model):
    batch = make_batch(LABELS)
    found = losses_of(model, batch)
    images = model.data_preprocessor(batch, True)['inputs']
    torch.manual_seed(3)
    drawn = UnlabelledMixup(slice(3, 7), 7, 1.0)
    ratio, partners = drawn.ratio, drawn.partners
    assert 0 < ratio < 1
    assert partners[:3].tolist() == [0, 1, 2]
    assert sorted(partners[3:].tolist()) == [3, 4, 5, 6]

    def mixed(values):
        return ratio * values + (1 - ratio) * values[partners]

    student = model.student_view.run(mixed(images))
    plain = model.batch(images, batch['data_samples'], None)
    teacher = model.teachers['teacher'].ask(plain, ('feature',)).feature
    customized = model.teacher_projection(mixed(teacher))
    expected = dict(
        specific=F.mse_loss(student.feature, customized),
        prediction=F.kl_div(
            student.logits.log_softmax(1),
            model.student_view.classify(customized).softmax(1),
            reduction='batchmean',
        ),
    )
    for name, value in expected.items():
        torch.testing.assert_close(found[f'loss_{name}'], value)
    labels = torch.tensor(LABELS[:3])
    torch.testing.assert_close(
        found['loss_ce'], F.cross_entropy(student.logits[:3], labels)
    )


@torch.no_grad()
def test_a_stage_that_does_not_ask_the_student_mixes_nothing(model):
    model.set_stage('customization')
    mixed = losses_of(model.eval(), make_batch(LABELS))
    model.mixup = None
    plain = losses_of(model, make_batch(LABELS))
    name = 'loss_customization'
    assert torch.equal(mixed[name], plain[name])


def test_logits_are_mixed_as_probabilities():
    torch.manual_seed(0)
    drawn = UnlabelledMixup(slice(1, 3), 3, 5.0)
    drawn.partners = torch.tensor([0, 2, 1])
    said = Outputs(
        feature=torch.randn(3, 4),
        logits=torch.randn(3, 5),
        more=dict(labels=torch.rand(3, 5)),
    )
    mixed, r = drawn.mix_outputs(said), drawn.ratio
    p = said.logits.softmax(1)
    torch.testing.assert_close(
        mixed.logits.softmax(1)[1], r * p[1] + (1 - r) * p[2]
    )
    for name in ('feature', 'more.labels'):
        before, after = said.get(name), mixed.get(name)
        # Not even rounding: a labelled row is its own partner.
        assert torch.equal(after[0], before[0])
        torch.testing.assert_close(
            after[2], r * before[2] + (1 - r) * before[1]
        )


def test_confident_logits_stay_finite_and_labelled_ones_as_they_are():
    drawn = UnlabelledMixup(slice(1, 3), 3, 1.0)
    drawn.partners = torch.tensor([0, 2, 1])
    logits = torch.tensor([[120.0, 0, 0], [300.0, 0, 0], [0, 300.0, 0]])
    mixed = drawn.mix_outputs(Outputs(logits=logits)).logits
    assert mixed.isfinite().all()
    assert torch.equal(mixed[0], logits[0])
    expected = torch.tensor([drawn.ratio, 1 - drawn.ratio, 0])
    torch.testing.assert_close(mixed[1].softmax(0), expected)


@torch.no_grad()
def test_a_probe_of_the_student_has_seen_the_mixture_already():
    model = build_customkd(
        mixup=1.0,
        networks=dict(peer=dict(type='LinearProbe', of='student')),
        terms=dict(
            peer=dict(
                loss=dict(type='KLDivergence', temperature=1.0),
                on=('student.logits', 'peer.logits'),
            )
        ),
    )
    model.set_stage('distillation')
    seen = {}
    model.monitor = lambda batch, losses: seen.update(batch.outputs) or {}
    losses_of(model.eval(), make_batch(LABELS))
    probe = model.networks['peer']
    torch.testing.assert_close(
        seen['peer'].logits, probe.fc(seen['student'].feature)
    )


@pytest.mark.parametrize('alpha', [0, -1.0, 'strong', True])
def test_alpha_that_is_none(alpha):
    with pytest.raises(UserError, match='mixup'):
        build_customkd(mixup=alpha)
