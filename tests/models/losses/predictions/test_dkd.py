import numpy as np
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import DKD, KLDivergence


@pytest.fixture
def logits():
    return torch.from_numpy(3 * np.random.RandomState(0).randn(2, 6, 9))


def test_adds_up_to_the_plain_divergence(logits):
    for student, teacher, target in zip(*logits, torch.arange(6)):
        pair, target = (student[None], teacher[None]), target[None]
        tckd = DKD(1.0, 0.0, temperature=1.0)(*pair, target)
        nckd = DKD(0.0, 1.0, temperature=1.0)(*pair, target)
        mass = teacher.softmax(0)[target[0]]
        torch.testing.assert_close(
            tckd + (1 - mass) * nckd, KLDivergence(1.0)(*pair)
        )


def test_the_teacher_names_the_target_without_a_label(logits):
    predicted = logits[1].argmax(1)
    expected = DKD()(*logits, predicted)
    assert DKD()(*logits) == expected
    mixed = torch.tensor([8, -1, 0, -1, 3, -1])
    assert DKD()(*logits, torch.full((6,), -1)) == expected
    assert DKD()(*logits, mixed) != expected
    filled = torch.where(mixed < 0, predicted, mixed)
    assert DKD()(*logits, mixed) == DKD()(*logits, filled)


def test_tckd_ignores_the_order_of_the_other_classes(logits):
    student, teacher = logits
    shuffled = torch.cat([student[:, :1], student[:, 1:].flip(1)], 1)
    loss, target = DKD(beta=0.0), torch.zeros(6, dtype=torch.long)
    torch.testing.assert_close(
        loss(shuffled, teacher, target), loss(student, teacher, target)
    )


def test_nckd_ignores_the_target_logit_and_shifts(logits):
    student, teacher = logits
    changed = student.clone()
    changed[:, 2] += 11
    loss, target = DKD(alpha=0.0), torch.full((6,), 2)
    expected = loss(student, teacher, target)
    assert loss(changed, teacher, target) == expected
    torch.testing.assert_close(
        loss(student + 7, teacher - 5, target), expected
    )


def test_two_classes_have_no_nckd(logits):
    pair, target = logits[:, :, :2], torch.tensor([0, 1, 0, 1, -1, -1])
    assert DKD(alpha=0.0)(*pair, target) == 0
    torch.testing.assert_close(DKD()(*pair, target), KLDivergence()(*pair))


def test_a_single_class_costs_nothing():
    student = torch.tensor([[3.0], [1.0]], requires_grad=True)
    loss = DKD()(student, torch.zeros(2, 1), torch.tensor([0, -1]))
    loss.backward()
    assert loss == 0
    assert student.grad.tolist() == [[0.0], [0.0]]


def test_a_certain_teacher_still_teaches_the_other_classes():
    # p_t_target rounds to 1 in float32, so 1 - p_t_target would be 0.
    teacher = torch.tensor([[60.0, 2.0, 0.0]])
    student = torch.tensor([[60.0, 0.0, 2.0]])
    loss = DKD(alpha=0.0, beta=1.0, temperature=1.0)(student, teacher)
    p = 1 / (1 + np.exp(-2))
    assert loss.item() == pytest.approx(2 * (2 * p - 1), rel=1e-5)


@pytest.mark.parametrize('dtype', [torch.int32, torch.uint8])
def test_labels_are_any_integers(dtype, logits):
    target = torch.arange(6)
    assert DKD()(*logits, target.to(dtype)) == DKD()(*logits, target)


@pytest.mark.parametrize(
    'target, word',
    [
        (torch.zeros(5, dtype=torch.long), '(5,)'),
        (torch.zeros(6, 1, dtype=torch.long), '(6, 1)'),
        (torch.zeros(6), 'float32'),
        (torch.tensor([0, 1, 2, 3, 4, 9]), 'class 9'),
    ],
)
def test_targets_that_are_not_labels_are_named(target, word, logits):
    with pytest.raises(UserError) as error:
        DKD()(*logits, target)
    assert 'DKD' in str(error.value) and word in str(error.value)
