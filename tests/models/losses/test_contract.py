"""What every registered loss promises; a new one needs cases in TABLE."""

from typing import Any, Callable, NamedTuple

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import Loss
from mmkd_custom.models.outputs import Shape
from mmkd_custom.registry import MODELS

VECTOR, TOKENS, MAP = (5,), (4, 6), (3, 2, 4)
EARLIER = torch.linspace(-2, 3, 45, dtype=torch.float64).sin().view(9, 5)


class Case(NamedTuple):
    """A loss, what its value is the mean of, and what it compares."""

    name: str
    reference: Callable  # of student, teacher, target and the options
    options: dict = {}
    size: tuple = VECTOR  # of the left side
    right: Any = None  # makes the right side of one like the left
    remembers: bool = False  # whether it has seen EARLIER batches

    def __str__(self):
        words = (self.name, *self.options.values(), self.size, self.right)
        return '-'.join(getattr(word, '__name__', str(word)) for word in words)

    def loss(self):
        loss = MODELS.build(dict(self.options, type=self.name))
        if self.remembers:
            # In training it changes from step to step.
            loss(EARLIER, self.right(EARLIER) if self.right else EARLIER)
            loss.eval()
        return loss

    def inputs(self, samples=6):
        """Returns student, teacher and target."""
        torch.manual_seed(0)
        student, teacher = (
            2 * torch.randn(samples, *size, dtype=torch.float64)
            for size in (self.size, self.size)
        )
        if callable(self.right):
            teacher = self.right(teacher)
        return student, teacher, torch.tensor([4, -1, 0, 2, -1, 1])[:samples]


def class_index(logits):
    return torch.arange(len(logits)) % (logits.shape[1] + 1) - 1


def soft_labels(logits):
    return logits.softmax(1)


def as_logits(logits):
    return 3 * logits


def wider(tokens):
    return torch.cat([tokens, tokens[..., :3]], 2)


def kl(p, q):
    return (p * (p / q).log()).sum(-1)


def mse(s, t, y, normalize=False, relative=False):
    if relative:
        channel = 1 if s.dim() == 4 else -1
        values = t.unbind(channel)
        variance = sum(v.var(unbiased=False) for v in values) / len(values)
        return mse(s, t, y) / variance
    if not normalize:
        return (s - t) ** 2
    # Channels last, whatever the kind: (N, C, h, w) -> (N, h, w, C)
    if s.dim() == 4:
        s, t = s.permute(0, 2, 3, 1), t.permute(0, 2, 3, 1)
    return (2 - 2 * torch.cosine_similarity(s, t, -1)) / s.shape[-1]


def smooth_l1(s, t, y, beta=1.0):
    x = (s - t).abs()
    return torch.where(x < beta, x**2 / 2 / max(beta, 1e-9), x - beta / 2)


def soft_target(s, t, y, temperature=4.0, standardize=False):
    if standardize:
        s, t = ((z - z.mean(1)[:, None]).T / z.std(1, False) for z in (s, t))
        s, t = s.T, t.T
    p, q = ((z / temperature).softmax(1) for z in (t, s))
    return temperature**2 * kl(p, q)


def dkd(s, t, y, alpha=1.0, beta=8.0, temperature=4.0):
    values = []
    for z_s, z_t, c in zip(s / temperature, t / temperature, y.tolist()):
        c = int(z_t.argmax()) if c < 0 else c
        p_s, p_t = z_s.softmax(0), z_t.softmax(0)
        rest = [k for k in range(len(p_s)) if k != c]
        masses = [torch.stack([p[c], p[rest].sum()]) for p in (p_t, p_s)]
        others = [p[rest] / p[rest].sum() for p in (p_t, p_s)]
        values.append(alpha * kl(*masses) + beta * kl(*others))
    return temperature**2 * torch.stack(values)


def cross_entropy(s, t, y, label_smoothing=0.0):
    if t.dim() == 1:
        s, t = s[t >= 0], torch.eye(s.shape[1]).to(s)[t[t >= 0]]
    q = (1 - label_smoothing) * t + label_smoothing / s.shape[1]
    return -(q * s.softmax(1).log()).sum(1)


def spectral(s, t, y, beta=1 / 3, eps=1e-4):
    errors = torch.stack([(a - b).square().mean() for a, b in zip(s.T, t.T)])
    return (errors + eps) ** beta - eps**beta


def similarity(s, t, y, size=1024, temperature=0.07):
    queue, s, t = ((x.T / x.norm(dim=1)).T for x in (EARLIER[:size], s, t))
    # As float32, in which the queue is kept.
    queue = queue.float().double()
    p, q = ((x @ queue.T / temperature).softmax(1) for x in (t, s))
    return kl(p, q)


def unit(x):
    return torch.stack([row / row.norm() for row in x])


def pseudo_vl(s, t, y, temperature=3.0, scale=100.0):
    s, t = (unit(x) @ unit(t).T * scale / temperature for x in (s, t))
    return 2 * kl(t.softmax(1), s.softmax(1))


def image_distance(s, t, y, temperature=7.0, scale=100.0):
    s, t = (unit(x) @ unit(x).T * scale / temperature for x in (s, t))
    return 2 * kl(t.softmax(1), s.softmax(1))


def confident(s, t, y, logits=True, width=2.0, momentum=0.999):
    seen = (3 * EARLIER if logits else EARLIER).softmax(1).max(1)[0]
    q = t.softmax(1) if logits else t
    p, c = q.max(1)[0], q.shape[1]
    mu = momentum / c + (1 - momentum) * seen.mean()
    variance = momentum + (1 - momentum) * seen.var()
    short = torch.where(p < mu, mu - p, 0.0)
    weights = (-(width**2) * short**2 / 2 / variance).exp()
    return weights * cross_entropy(s, q, y)


def relation(s, t, y, heads=1):
    def rows(x):
        parts = [p @ p.transpose(1, 2) for p in x.chunk(heads, 2)]
        return (torch.stack(parts, 1) / (x.shape[2] / heads) ** 0.5).softmax(3)

    return kl(rows(t), rows(s))


TABLE = [
    *(Case('MSE', mse, {}, size) for size in (VECTOR, TOKENS, MAP)),
    *(
        Case('MSE', mse, dict(normalize=True), size)
        for size in (VECTOR, TOKENS, MAP)
    ),
    *(
        Case('MSE', mse, dict(relative=True), size)
        for size in (VECTOR, TOKENS, MAP)
    ),
    *(Case('SmoothL1', smooth_l1, {}, size) for size in (VECTOR, TOKENS, MAP)),
    *(Case('SmoothL1', smooth_l1, dict(beta=beta)) for beta in (0, 3.0)),
    Case('KLDivergence', soft_target),
    Case('KLDivergence', soft_target, dict(temperature=0.5)),
    Case('KLDivergence', soft_target, dict(standardize=True)),
    Case('DKD', dkd),
    Case('DKD', dkd, dict(alpha=0.5, beta=3.0, temperature=2.0)),
    *(
        Case('CrossEntropy', cross_entropy, options, right=right)
        for right in (class_index, soft_labels)
        for options in ({}, dict(label_smoothing=0.2))
    ),
    Case('SpecMatch', spectral),
    Case('SpecMatch', spectral, dict(beta=0.5, eps=0.1)),
    *(
        Case('SimilarityKL', similarity, options, remembers=True)
        for options in ({}, dict(size=7, temperature=0.5))
    ),
    *(
        Case(name, reference, options)
        for name, reference in (
            ('PseudoVisionLanguageKL', pseudo_vl),
            ('ImageDistanceKL', image_distance),
        )
        for options in ({}, dict(temperature=0.5, scale=3.0))
    ),
    *(
        Case(
            'ConfidentCrossEntropy',
            confident,
            dict(logits=logits, momentum=0.2, width=width),
            right=right,
            remembers=True,
        )
        for logits, right in ((True, as_logits), (False, soft_labels))
        for width in (2.0, 6.0)
    ),
    *(
        Case('TokenRelation', relation, options, TOKENS, right)
        for right in (None, wider)
        for options in ({}, dict(heads=3))
    ),
]


@pytest.fixture(params=TABLE, ids=str)
def case(request):
    return request.param


def test_every_registered_loss_has_a_case():
    registered = {
        name
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, Loss)
    }
    assert registered == {case.name for case in TABLE}


def test_value_is_the_mean_of_the_reference(case):
    inputs = case.inputs()
    value, expected = (
        case.loss()(*inputs),
        case.reference(*inputs, **case.options),
    )
    assert value.shape == () and value > 1e-3
    torch.testing.assert_close(value, expected.mean(), rtol=1e-10, atol=1e-12)


def test_gradients_of_both_sides(case):
    loss, (student, teacher, target) = case.loss(), case.inputs(3)
    for side in (student, teacher):
        side.requires_grad_(side.is_floating_point())
    assert torch.autograd.gradcheck(loss, (student, teacher, target))


@pytest.mark.parametrize(
    'case', [case for case in TABLE if case.right is None], ids=str
)
def test_equal_sides_are_a_zero_and_a_minimum(case):
    student = case.inputs()[0].requires_grad_()
    value = case.loss()(student, student.detach().clone())
    value.backward()
    assert value.abs() < 1e-12
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('huge', [False, True])
def test_half_precision_is_computed_in_float32(case, dtype, huge):
    loss, (student, exact, target) = case.loss(), case.inputs()
    student = (1e4 * student.sign() if huge else student).to(dtype)
    if huge and case.right is None:
        exact = 1e4 * exact.sign()
    teacher = exact
    if exact.is_floating_point():
        teacher = exact.to(dtype)
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


def test_nothing_is_changed_but_in_training(case):
    loss, inputs = case.loss(), case.inputs()
    kept = [*inputs, *loss.state_dict().values()]
    before = [tensor.clone() for tensor in kept]
    value = loss(*inputs)
    assert loss(*inputs) == value
    assert all(map(torch.equal, kept, before))
    assert case.remembers == bool(loss.state_dict())


def test_targets_count_for_dkd_alone(case):
    inputs = case.inputs()
    alike = case.loss()(*inputs) == case.loss()(*inputs[:2])
    assert alike == (case.name != 'DKD')


def test_shapes_that_do_not_fit_are_named(case):
    loss, (student, teacher, _) = case.loss(), case.inputs()
    left, right = Shape(case.size), Shape(tuple(teacher.shape[1:]))
    loss.check(left, right)
    others = [Shape(sizes) for sizes in ((7,), (7, 2), (7, 3, 2))]
    pairs = [(left, other) for other in others] + [(Shape(()), right)]
    pairs += [(other, right) for other in others if right.sizes]
    for pair in pairs:
        with pytest.raises(UserError) as error:
            loss.check(*pair)
        for word in (case.name, *(str(side.sizes) for side in pair)):
            assert word in str(error.value)
    for wrong in (teacher[:-1], torch.zeros(6, 7, 2)):
        with pytest.raises(UserError) as error:
            loss(student, wrong)
        assert case.name in str(error.value)


def test_repr_shows_the_options(case):
    shown = repr(case.loss())
    assert all(f'{k}={v}' in shown for k, v in case.options.items())


POSITIVE = [0, -1.0, float('inf'), float('nan'), 'warm', True, None]
WRONG = {
    ('KLDivergence', 'temperature'): POSITIVE,
    ('DKD', 'temperature'): POSITIVE,
    ('DKD', 'alpha'): POSITIVE[1:],
    ('DKD', 'beta'): POSITIVE[1:],
    ('SmoothL1', 'beta'): POSITIVE[1:],
    ('SpecMatch', 'beta'): POSITIVE,
    ('SpecMatch', 'eps'): POSITIVE,
    ('SimilarityKL', 'size'): [0, -1, 2.0, '2', True, None],
    ('SimilarityKL', 'temperature'): POSITIVE,
    ('PseudoVisionLanguageKL', 'temperature'): POSITIVE,
    ('ImageDistanceKL', 'scale'): POSITIVE,
    ('ConfidentCrossEntropy', 'width'): POSITIVE,
    ('ConfidentCrossEntropy', 'momentum'): [*POSITIVE[1:], 1.5],
    ('CrossEntropy', 'label_smoothing'): [*POSITIVE[1:], 1.5],
    ('TokenRelation', 'heads'): [0, -1, 2.0, '2', True, None],
}


@pytest.mark.parametrize('name, option', WRONG)
def test_a_wrong_option_is_named(name, option):
    for value in WRONG[name, option]:
        with pytest.raises(UserError) as error:
            MODELS.build({'type': name, option: value})
        for word in (f'{name}.{option}', repr(value)):
            assert word in str(error.value)
