"""Terms of several teachers, all but the worst dropped now and then."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models import Distiller
from mmkd_custom.models.distillers.dropping import TermDropping
from tests.helpers import IMAGE_SIZE, make_batch, student_config

NAMES = ('a', 'b', 'c')


def test_the_worst_stays_and_others_go_with_their_probability():
    torch.manual_seed(0)
    dropping, kept = TermDropping(NAMES, 0.25), torch.zeros(3)
    values = torch.tensor([1.0, 3.0, 2.0], requires_grad=True)
    for _ in range(2000):
        losses = {f'loss_{n}': v for n, v in zip(NAMES, values)}
        dropping(losses)
        kept += torch.stack([losses[f'loss_{n}'] for n in NAMES]).detach() / (
            values.detach()
        )
    assert kept[1] == 2000
    assert kept[[0, 2]].div(2000).tolist() == pytest.approx(
        [0.75, 0.75], abs=0.03
    )
    # A dropped term leaves a gradient of zero, not none.
    sum(losses.values()).backward()
    assert values.grad is not None


def test_a_term_alone_in_its_batch_stays():
    losses = dict(loss_a=torch.tensor(2.0), loss_ce=torch.tensor(9.0))
    TermDropping(NAMES, 1.0)(losses)
    assert losses == dict(loss_a=2.0, loss_ce=9.0)


def test_in_a_distiller():
    teacher = dict(
        type='TimmTeacher', model_name='test_efficientnet', input_size=None
    )
    terms = {
        name: dict(
            loss=dict(type='MSE'),
            on=('student.feature', f'{name}.feature'),
            connector=dict(type='LinearConnector'),
            weight=weight,
        )
        for name, weight in (('small', 0.1), ('large', 1.0))
    }

    def build(dropping):
        torch.manual_seed(0)
        model = Distiller(
            student_config(),
            teachers=dict(small=dict(teacher), large=dict(teacher)),
            terms=terms,
            input_size=IMAGE_SIZE,
            dropping=dropping,
        )
        return model.eval()

    model = build(dict(terms=('small', 'large'), probability=1.0))
    losses = model.loss(
        **model.data_preprocessor(make_batch([0, 1, None]), True)
    )
    assert losses['loss_small'] == 0 < losses['loss_large']
    # A log shows what it was; nothing sums it.
    assert 0 < losses['undropped_small'] < losses['undropped_large']
    assert losses['undropped_large'] == losses['loss_large']
    total, _ = model.parse_losses(losses)
    assert total == losses['loss_ce'] + losses['loss_large']
    with pytest.raises(TypeError, match='terms'):
        build({})
    for wrong, words in (
        (dict(terms=('small', 'lage')), ['lage', 'large']),
        (dict(terms=('small',)), ['dropping.terms']),
        (
            dict(terms=('small', 'large'), probability=2),
            ['dropping.probability'],
        ),
    ):
        with pytest.raises(UserError) as error:
            build(wrong)
        assert all(word in str(error.value) for word in words)
