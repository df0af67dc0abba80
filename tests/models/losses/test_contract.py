"""What every registered loss promises; a new one needs an entry in TABLE."""

import itertools
from typing import Any, Callable, NamedTuple

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import Loss
from mmkd_custom.models.outputs import Shape
from mmkd_custom.registry import MODELS

VECTOR, TOKENS, MAP = (5,), (4, 6), (3, 2, 4)


class Case(NamedTuple):
    """A loss, what its value is the mean of, and what it compares."""

    cfg: dict
    reference: Callable  # of (student, teacher, target), in float64
    size: tuple = VECTOR  # of the left side
    right: Any = None  # what makes the right side, or its size if another

    def __str__(self):
        words = (*self.cfg.values(), self.size, self.right or '')
        return '-'.join(getattr(word, '__name__', str(word)) for word in words)

    def loss(self):
        return MODELS.build(self.cfg)

    def inputs(self, samples=6):
        """Returns student, teacher and target."""
        torch.manual_seed(0)
        student = 2 * torch.randn(samples, *self.size, dtype=torch.float64)
        if callable(self.right):
            teacher = self.right(samples, *self.size)
        else:
            teacher = 2 * torch.randn(
                samples, *(self.right or self.size), dtype=torch.float64
            )
        return student, teacher, torch.tensor([4, -1, 0, 2, -1, 1])[:samples]


def class_index(samples, classes):
    return torch.arange(samples) % (classes + 1) - 1


def soft_labels(samples, classes):
    return torch.randn(samples, classes, dtype=torch.float64).softmax(1)


def _kl(p, q):
    return (p * (p / q).log()).sum(-1)


def _mse(s, t, y):
    return (s - t) ** 2


def _cosine(s, t, y):
    # Channels last, whatever the kind: (N, C, h, w) -> (N, h, w, C)
    if s.dim() == 4:
        s, t = s.permute(0, 2, 3, 1), t.permute(0, 2, 3, 1)
    return (2 - 2 * torch.cosine_similarity(s, t, -1)) / s.shape[-1]


def _smooth(s, t, y, beta=1.0):
    x = (s - t).abs()
    return torch.where(x < beta, x**2 / 2 / max(beta, 1e-9), x - beta / 2)


def _soft_target(s, t, y, temperature=4.0):
    p_t, p_s = (z.div(temperature).exp() for z in (t, s))
    return temperature**2 * _kl(
        p_t / p_t.sum(-1, keepdim=True), p_s / p_s.sum(-1, keepdim=True)
    )


def _standardized(s, t, y):
    s, t = (
        (z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True, correction=0)
        for z in (s, t)
    )
    return _soft_target(s, t, y)


def _dkd(s, t, y, alpha, beta, temperature):
    values = []
    for z_s, z_t, c in zip(s / temperature, t / temperature, y.tolist()):
        c = int(z_t.argmax()) if c < 0 else c
        p_s, p_t = z_s.softmax(0), z_t.softmax(0)
        rest = [k for k in range(len(p_s)) if k != c]
        masses = [torch.stack([p[c], p[rest].sum()]) for p in (p_t, p_s)]
        others = [p[rest] / p[rest].sum() for p in (p_t, p_s)]
        values.append(alpha * _kl(*masses) + beta * _kl(*others))
    return temperature**2 * torch.stack(values)


def _cross_entropy(s, t, y, smoothing=0.0):
    if t.dim() == 1:
        s, t = s[t >= 0], torch.eye(s.shape[1]).to(s)[t[t >= 0]]
    q = (1 - smoothing) * t + smoothing / s.shape[1]
    return -(q * (s.softmax(1)).log()).sum(1)


def _relation(s, t, y, heads=1):
    def rows(x):
        parts = [p @ p.transpose(1, 2) for p in x.chunk(heads, 2)]
        return (torch.stack(parts, 1) / (x.shape[2] / heads) ** 0.5).softmax(3)

    return _kl(rows(t), rows(s))


def _cfg(name, **options):
    return dict(type=name, **options)


TABLE = [
    *(Case(_cfg('MSE'), _mse, size) for size in (VECTOR, TOKENS, MAP)),
    *(
        Case(_cfg('MSE', normalize=True), _cosine, size)
        for size in (VECTOR, TOKENS, MAP)
    ),
    *(Case(_cfg('SmoothL1'), _smooth, size) for size in (VECTOR, TOKENS, MAP)),
    Case(_cfg('SmoothL1', beta=3.0), lambda *a: _smooth(*a, 3.0)),
    Case(_cfg('SmoothL1', beta=0), lambda *a: _smooth(*a, 0.0)),
    Case(_cfg('KLDivergence'), _soft_target),
    Case(
        _cfg('KLDivergence', temperature=0.5), lambda *a: _soft_target(*a, 0.5)
    ),
    Case(_cfg('KLDivergence', standardize=True), _standardized),
    Case(_cfg('DKD'), lambda *a: _dkd(*a, 1.0, 8.0, 4.0)),
    Case(
        _cfg('DKD', alpha=0.5, beta=3.0, temperature=2.0),
        lambda *a: _dkd(*a, 0.5, 3.0, 2.0),
    ),
    Case(_cfg('CrossEntropy'), _cross_entropy, right=class_index),
    Case(_cfg('CrossEntropy'), _cross_entropy, right=soft_labels),
    Case(
        _cfg('CrossEntropy', label_smoothing=0.2),
        lambda *a: _cross_entropy(*a, 0.2),
        right=class_index,
    ),
    Case(_cfg('TokenRelation'), _relation, TOKENS),
    Case(_cfg('TokenRelation', heads=3), lambda *a: _relation(*a, 3), TOKENS),
    Case(_cfg('TokenRelation'), _relation, TOKENS, (4, 9)),
]


@pytest.fixture(params=TABLE, ids=str)
def case(request):
    return request.param


def _leaf(tensor):
    floating = tensor.is_floating_point()
    return tensor.clone().requires_grad_() if floating else tensor


def test_every_registered_loss_has_a_case():
    registered = {
        name
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, Loss)
    }
    assert registered == {case.cfg['type'] for case in TABLE}


def test_value_is_the_mean_of_the_reference(case):
    inputs = case.inputs()
    value, expected = case.loss()(*inputs), case.reference(*inputs).mean()
    assert value.shape == () and value > 1e-3
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)


def test_gradients_of_both_sides(case):
    loss, (student, teacher, target) = case.loss(), case.inputs(3)
    assert torch.autograd.gradcheck(
        lambda s, t: loss(s, t, target), (_leaf(student), _leaf(teacher))
    )


@pytest.mark.parametrize(
    'case', [case for case in TABLE if case.right is None], ids=str
)
def test_equal_sides_are_a_zero_and_a_minimum(case):
    student = _leaf(case.inputs()[0])
    value = case.loss()(student, student.detach().clone())
    value.backward()
    assert value.abs() < 1e-12
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('huge', [False, True])
def test_half_precision_is_computed_in_float32(case, dtype, huge):
    loss, (student, teacher, target) = case.loss(), case.inputs()
    student = (1e4 * student.sign() if huge else student).to(dtype)
    exact = teacher
    if teacher.is_floating_point():
        huge = huge and case.right is None
        teacher = (1e4 * teacher.sign() if huge else teacher).to(dtype)
        exact = teacher.double()
    expected = loss(student.double(), exact, target)
    student.requires_grad_()
    with torch.autocast('cpu', dtype=dtype):
        value = loss(student, teacher, target)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite() and student.grad.isfinite().all()
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)


def test_an_empty_batch_is_zero_with_a_graph(case):
    student, teacher, target = case.inputs(0)
    student = student.float().requires_grad_()
    value = case.loss()(student, teacher, target)
    value.backward()
    assert value == 0 and value.dtype == torch.float32
    assert student.grad.shape == student.shape


def test_nothing_is_kept_or_changed(case):
    loss, inputs = case.loss(), case.inputs()
    before = [tensor.clone() for tensor in inputs]
    value = loss(*inputs)
    assert loss(*inputs) == value
    assert all(map(torch.equal, inputs, before))
    assert not loss.state_dict()


def test_targets_count_for_dkd_alone(case):
    inputs = case.inputs()
    alike = case.loss()(*inputs) == case.loss()(*inputs[:2])
    assert alike == (case.cfg['type'] != 'DKD')


def test_shapes_that_do_not_fit_are_named(case):
    loss, (student, teacher, _) = case.loss(), case.inputs()
    left, right = Shape(case.size), Shape(tuple(teacher.shape[1:]))
    loss.check(left, right)
    others = [Shape(sizes) for sizes in ((7,), (7, 2), (7, 3, 2))]
    pairs = [(left, other) for other in others]
    pairs += [(other, right) for other in others if right.sizes]
    for pair in (*pairs, (Shape(()), right)):
        with pytest.raises(UserError) as error:
            loss.check(*pair)
        for word in (case.cfg['type'], *(str(side.sizes) for side in pair)):
            assert word in str(error.value)
    for wrong in (teacher[:-1], torch.zeros(6, 7, 2)):
        with pytest.raises(UserError) as error:
            loss(student, wrong)
        assert case.cfg['type'] in str(error.value)


def test_repr_shows_the_options(case):
    options = [f'{k}={v}' for k, v in case.cfg.items() if k != 'type']
    assert all(option in repr(case.loss()) for option in options)


NOT_POSITIVE = [0, -1.0, float('inf'), float('nan'), 'warm', True, None]
NOT_A_WEIGHT = [*NOT_POSITIVE[1:]]


@pytest.mark.parametrize(
    'name, option, value',
    [
        *itertools.product(
            ('KLDivergence', 'DKD'), ('temperature',), NOT_POSITIVE
        ),
        *itertools.product(('DKD',), ('alpha', 'beta'), NOT_A_WEIGHT),
        *itertools.product(('SmoothL1',), ('beta',), NOT_A_WEIGHT),
        *itertools.product(
            ('CrossEntropy',), ('label_smoothing',), [*NOT_A_WEIGHT, 1.5]
        ),
        *itertools.product(('TokenRelation',), ('heads',), [0, -1, 2.0, '2']),
    ],
)
def test_a_wrong_option_is_named(name, option, value):
    with pytest.raises(UserError) as error:
        MODELS.build({'type': name, option: value})
    assert f'{name}.{option}' in str(error.value)
    assert repr(value) in str(error.value)
