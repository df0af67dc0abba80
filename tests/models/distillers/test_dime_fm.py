"""DIMEFM: what it adds up, what it trains, what it refuses."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models import DIMEFM
from mmkd_custom.models.losses.relations import (
    ImageDistanceKL,
    PseudoVisionLanguageKL,
    VisionLanguageKL,
)
from tests.helpers import (
    IMAGE_SIZE,
    digests,
    make_batch,
    student_config,
    teacher_config,
)

#: Width of the feature of the tiny teacher.
WIDTH = 256
TEXTS = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(5))


class Drawn:
    """Texts in memory."""

    width = WIDTH

    def __len__(self):
        return len(TEXTS)

    def read(self, rows):
        return TEXTS[rows]


def build(width=WIDTH, text=True, **options):
    torch.manual_seed(0)
    corpus = dict(text=dict(type='TextCorpus', file='unused', batch_size=7))
    options.setdefault('networks', corpus if text else {})
    options.setdefault('teacher', teacher_config())
    model = DIMEFM(
        student_config(width),
        input_size=IMAGE_SIZE,
        **options,
    )
    if text:
        model.networks['text'].fill(Drawn())
    return model.train()


def losses_of(model, labels=(None, None, None, None)):
    data = model.data_preprocessor(make_batch(labels), True)
    return data, model(**data, mode='loss')


def test_the_sum_is_that_of_the_released_weights():
    model = build()
    torch.manual_seed(1)
    data, losses = losses_of(model)
    assert {k for k in losses if 'loss' in k} == {'loss_vl', 'loss_pvl'}
    torch.manual_seed(1)
    batch = model.batch(**data)
    student = model.student_view.ask(batch, ('logits',)).logits
    teacher = model.teacher.ask(batch, ('feature',)).feature
    vl = VisionLanguageKL()(student, teacher, TEXTS)
    pvl = PseudoVisionLanguageKL()(student, teacher)
    torch.testing.assert_close(losses['loss_vl'], 0.7 * vl)
    torch.testing.assert_close(losses['loss_pvl'], 0.3 * pvl)
    assert -1 <= losses['image_cosine'] <= 1


def test_a_loss_of_weight_0_asks_nothing():
    model = build(text=False, vl_weight=0, pvl_weight=0.0, udist_weight=2.0)
    torch.manual_seed(1)
    data, losses = losses_of(model)
    assert {k for k in losses if 'loss' in k} == {'loss_udist'}
    torch.manual_seed(1)
    batch = model.batch(**data)
    student = model.student_view.ask(batch, ('logits',)).logits
    teacher = model.teacher.ask(batch, ('feature',)).feature
    expected = 2 * ImageDistanceKL()(student, teacher)
    torch.testing.assert_close(losses['loss_udist'], expected)


def test_only_the_student_is_trained_and_no_label_is_read():
    model = build(
        terms=dict(
            hint=dict(
                loss=dict(type='MSE'),
                on=('student.logits', 'teacher.feature'),
            )
        )
    )
    assert not model.needs_labels
    trained = {name for name, _ in model.named_parameters()}
    assert all(name.startswith('student.') for name in trained)
    before = digests(model.teacher)
    _, losses = losses_of(model, (2, None, None, None))
    assert 'loss_hint' in losses and 'loss_ce' not in losses
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    assert digests(model.teacher) == before
    # What is saved is the plain student's.
    assert all(k.startswith('student.') for k in model.state_dict())


def test_predicts_no_class():
    model = build().eval()
    data = model.data_preprocessor(make_batch((0, 1)), False)
    with pytest.raises(UserError, match='zero_shot'):
        model(**data, mode='predict')
    with torch.no_grad():
        assert model(data['inputs']).shape == (2, WIDTH)


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(width=12), f'expected {WIDTH}'),
        (dict(text=False), 'TextCorpus'),
        (dict(mixup=0.5), 'mixup'),
        (dict(vl_weight=-1.0), 'vl_weight'),
        (dict(logit_scale=0), 'scale'),
        (dict(terms=dict(pvl=dict(loss=dict(type='MSE')))), 'terms.pvl'),
        (
            dict(
                networks=dict(text=dict(type='LinearProbe', of='teacher')),
                text=False,
            ),
            'networks.text',
        ),
        (
            dict(
                teacher=None,
                teachers=dict(teacher=teacher_config(), clip=teacher_config()),
                networks=dict(
                    text=dict(type='TextCorpus', file='x', of='clip')
                ),
            ),
            'networks.text.of',
        ),
        (
            dict(
                networks=dict(
                    text=dict(type='TextCorpus', file='x', of='clip')
                )
            ),
            'TextCorpus.of',
        ),
    ],
)
def test_what_does_not_fit_is_named(options, named):
    with pytest.raises(UserError) as error:
        build(**options)
    assert named in str(error.value)
