import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import DKD, KLDivergence

LOGITS = arrays(
    np.float64, (2, 3, 5), elements=st.floats(-12, 12, allow_nan=False)
)
TARGETS = arrays(np.int64, (3,), elements=st.integers(0, 4))


def _softmax(logits):
    exponential = np.exp(logits - logits.max(-1, keepdims=True))
    return exponential / exponential.sum(-1, keepdims=True)


def _kl(teacher, student):
    return np.sum(teacher * (np.log(teacher) - np.log(student)))


def _terms(student, teacher, target, temperature=1.0):
    """TCKD and NCKD, sample by sample."""
    tckd, nckd = [], []
    for z_s, z_t, y in zip(student, teacher, target):
        p_s, p_t = _softmax(z_s / temperature), _softmax(z_t / temperature)
        rest_s, rest_t = np.delete(p_s, y), np.delete(p_t, y)
        tckd.append(
            _kl(
                np.array([p_t[y], rest_t.sum()]),
                np.array([p_s[y], rest_s.sum()]),
            )
        )
        nckd.append(_kl(rest_t / rest_t.sum(), rest_s / rest_s.sum()))
    return np.array(tckd), np.array(nckd)


def _loss(student, teacher, target=None, **kwargs):
    if target is not None:
        target = torch.tensor(target)
    return DKD(**kwargs)(
        torch.tensor(student), torch.tensor(teacher), target
    ).item()


@pytest.fixture
def logits():
    return 3 * np.random.RandomState(0).randn(2, 6, 9)


@settings(deadline=None)
@given(logits=LOGITS, target=TARGETS)
def test_matches_the_definition(logits, target):
    student, teacher = logits
    tckd, nckd = _terms(student, teacher, target, 2.0)
    wanted = 4 * np.mean(0.5 * tckd + 3 * nckd)
    assert _loss(
        student, teacher, target, alpha=0.5, beta=3.0, temperature=2.0
    ) == pytest.approx(wanted, rel=1e-7, abs=1e-8)


def test_the_defaults(logits):
    target = np.array([0, 1, 2, 3, 4, 8])
    tckd, nckd = _terms(*logits, target, 4.0)
    assert _loss(*logits, target) == pytest.approx(
        16 * np.mean(tckd + 8 * nckd), rel=1e-10
    )


@settings(deadline=None)
@given(logits=LOGITS, target=TARGETS)
def test_adds_up_to_the_plain_divergence(logits, target):
    total = 0.0
    for student, teacher, y in zip(*logits, target):
        pair, y = (student[None], teacher[None]), [y]
        tckd = _loss(*pair, y, alpha=1.0, beta=0.0, temperature=1.0)
        nckd = _loss(*pair, y, alpha=0.0, beta=1.0, temperature=1.0)
        mass = _softmax(teacher)[y]
        total += tckd + (1 - mass.item()) * nckd
    wanted = KLDivergence(1.0)(
        torch.from_numpy(logits[0]), torch.from_numpy(logits[1])
    ).item()
    assert total / len(target) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_without_labels_the_teacher_names_the_target(logits):
    student, teacher = logits
    predicted = teacher.argmax(1)
    wanted = _loss(student, teacher, predicted)
    assert _loss(student, teacher) == wanted
    assert _loss(student, teacher, np.full(6, -1)) == wanted


def test_labels_and_predictions_may_mix(logits):
    student, teacher = logits
    mixed = np.array([8, -1, 0, -1, 3, -1])
    filled = np.where(mixed < 0, teacher.argmax(1), mixed)
    loss = _loss(student, teacher, mixed)
    assert loss == _loss(student, teacher, filled)
    assert loss != _loss(student, teacher)


def test_ignores_shifts(logits):
    student, teacher = logits
    target = np.arange(6)
    assert _loss(student + 7, teacher - 5, target) == pytest.approx(
        _loss(student, teacher, target), rel=1e-10
    )


def test_gradients_for_given_targets(logits):
    student, teacher = torch.from_numpy(logits[:, :3, :4])
    target = torch.tensor([3, -1, 0])
    assert torch.autograd.gradcheck(
        lambda s, t: DKD()(s, t, target),
        (student.requires_grad_(), teacher.requires_grad_()),
    )


def test_tckd_leaves_the_order_of_the_other_classes_alone(logits):
    student, teacher = logits
    target = np.zeros(6, dtype=int)
    shuffled = student.copy()
    shuffled[:, 1:] = student[:, :0:-1]
    kwargs = dict(target=target, beta=0.0)
    assert _loss(shuffled, teacher, **kwargs) == pytest.approx(
        _loss(student, teacher, **kwargs), rel=1e-12
    )


def test_nckd_does_not_see_the_target_logit(logits):
    student, teacher = logits
    target = np.full(6, 2)
    changed = student.copy()
    changed[:, 2] += 11
    kwargs = dict(target=target, alpha=0.0)
    assert _loss(changed, teacher, **kwargs) == _loss(
        student, teacher, **kwargs
    )


def test_two_classes_have_no_nckd(logits):
    student, teacher = logits[:, :, :2]
    target = [0, 1, 0, 1, -1, -1]
    assert _loss(student, teacher, target, alpha=0.0) == 0
    wanted = KLDivergence()(
        torch.tensor(student), torch.tensor(teacher)
    ).item()
    assert _loss(student, teacher, target) == pytest.approx(wanted, rel=1e-10)


def test_a_single_class_has_nothing_to_say():
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


def test_huge_logits_keep_a_finite_gradient():
    student = torch.tensor([[-1e4, 1e4, 0.0]], requires_grad=True)
    loss = DKD()(student, torch.tensor([[1e4, -1e4, 0.0]]))
    loss.backward()
    # TCKD and NCKD at T = 4: the student's gap is 5000 and 2500 nats.
    assert loss.item() == pytest.approx(16 * (5000 + 8 * 2500), rel=1e-5)
    assert student.grad.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.int32, torch.int64, torch.uint8])
def test_any_integer_labels(dtype, logits):
    student, teacher = torch.from_numpy(logits)
    target = torch.arange(6)
    assert DKD()(student, teacher, target.to(dtype)) == DKD()(
        student, teacher, target
    )


@pytest.mark.parametrize(
    'target',
    [
        torch.zeros(5, dtype=torch.long),
        torch.zeros(6, 1, dtype=torch.long),
        torch.zeros(6),
    ],
)
def test_targets_that_are_no_labels_are_named(target, logits):
    with pytest.raises(UserError) as error:
        DKD()(*torch.from_numpy(logits), target)
    assert str(tuple(target.shape)) in str(error.value)
    assert str(target.dtype) in str(error.value)


def test_a_class_that_does_not_exist_is_named(logits):
    target = torch.tensor([0, 1, 2, 3, 4, 9])
    with pytest.raises(UserError, match='holds class 9'):
        DKD()(*torch.from_numpy(logits), target)
