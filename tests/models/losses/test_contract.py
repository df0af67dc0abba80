"""What every registered loss promises; a new one needs a case in a table."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import Loss
from mmkd_custom.models.outputs import Shape
from mmkd_custom.registry import MODELS
from tests.models.losses.cases import features, predictions, relations

TABLE = [*predictions.TABLE, *features.TABLE, *relations.TABLE]
WRONG = {**predictions.WRONG, **features.WRONG, **relations.WRONG}


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


@pytest.mark.parametrize(
    'case', [case for case in TABLE if case.exact], ids=str
)
def test_gradients_of_both_sides_and_of_what_is_learnt(case):
    loss, (student, teacher, target) = case.loss(), case.inputs(5)
    for side in (student, teacher):
        side.requires_grad_(side.is_floating_point())
    assert torch.autograd.gradcheck(
        # It changes parameters in place.
        lambda student, teacher, *learnt: loss(student, teacher, target),
        (student, teacher, *loss.parameters()),
        fast_mode=True,
    )


@pytest.mark.parametrize(
    'case', [case for case in TABLE if case.is_zero], ids=str
)
def test_equal_sides_are_a_zero_and_a_minimum(case):
    student = case.inputs()[0].requires_grad_()
    target = case.inputs()[2]
    value = case.loss()(student, student.detach().clone(), target)
    value.backward()
    assert value.abs() < 1e-12
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('huge', [False, True])
def test_half_precision_is_computed_in_float32(case, dtype, huge):
    loss, (student, exact, target) = case.loss(), case.inputs()
    student = (case.huge * student.sign() if huge else student).to(dtype)
    if huge and case.right is None:
        exact = case.huge * exact.sign()
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


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('dead', [1, 3, 6])
def test_dead_samples_have_a_gradient_that_is_finite(case, dtype, dead):
    loss, (student, teacher, target) = case.loss(), case.inputs()
    student[:dead] = 0
    rights = [teacher]
    if case.right is None:
        rights = [x.to(dtype) for x in (teacher, 0 * teacher, 0 * teacher + 1)]
    for right in rights:
        left = student.to(dtype).requires_grad_()
        value = loss(left, right, target)
        value.backward()
        assert value.isfinite() and left.grad.isfinite().all()


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
    assert case.remembers == bool(list(loss.buffers()))


def test_labels_count_where_it_says_so(case):
    loss, (student, teacher, target) = case.loss(), case.inputs()
    other = torch.tensor([0, 3, -1, 1, -1, 2])
    alike = loss(student, teacher, target) == loss(student, teacher, other)
    assert alike != case.labels
    if loss.needs_target:
        with pytest.raises(UserError, match=f'{case.name}.*target'):
            loss(student, teacher)
    else:
        # None is no label.
        none = loss(student, teacher, torch.full((6,), -1))
        assert loss(student, teacher) == none


def test_shapes_that_do_not_fit_are_named(case):
    loss, (student, teacher, target) = case.loss(), case.inputs()
    left, right = Shape(case.size), Shape(tuple(teacher.shape[1:]))
    loss.check(left, right)
    others = [Shape(sizes) for sizes in case.misfits]
    pairs = [(left, other) for other in others] + [(Shape(()), right)]
    pairs += [(other, right) for other in others if right.sizes]
    for pair in pairs:
        with pytest.raises(UserError) as error:
            loss.check(*pair)
        for word in (case.name, *(str(side.sizes) for side in pair)):
            assert word in str(error.value)
    for wrong in (teacher[:-1], torch.zeros(6, *case.misfits[-1])):
        with pytest.raises(UserError) as error:
            loss(student, wrong, target[: len(wrong)])
        assert case.name in str(error.value)


def test_repr_shows_the_options(case):
    shown = repr(case.loss())
    assert all(f'{k}={v}' in shown for k, v in case.options.items())


@pytest.mark.parametrize('name, option', WRONG)
def test_a_wrong_option_is_named(name, option):
    for value in WRONG[name, option]:
        with pytest.raises(UserError) as error:
            MODELS.build({'type': name, option: value})
        for word in (f'{name}.{option}', repr(value)):
            assert word in str(error.value)
