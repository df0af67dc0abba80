import pytest
import torch
import torch.nn.functional as F

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import CrossEntropy
from mmkd_custom.models.outputs import Shape


def test_unlabelled_samples_are_left_out_of_the_mean():
    logits = torch.randn(4, 3)
    index = torch.tensor([2, -1, 0, -7])
    expected = F.cross_entropy(logits[[0, 2]], index[[0, 2]])
    for dtype in (torch.int64, torch.int32, torch.int8):
        loss = CrossEntropy()(logits, index.to(dtype))
        torch.testing.assert_close(loss, expected)


def test_without_a_label_it_is_zero_with_a_graph():
    logits = torch.randn(2, 3, requires_grad=True)
    loss = CrossEntropy()(logits, torch.tensor([-1, -1]))
    loss.backward()
    assert loss == 0
    assert logits.grad.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize('index', [torch.zeros(2), torch.tensor([0, 3])])
def test_an_index_that_is_not_a_class_is_named(index):
    with pytest.raises(UserError) as error:
        CrossEntropy()(torch.zeros(2, 3), index)
    assert 'CrossEntropy' in str(error.value)
    assert str(index.dtype) in str(error.value)


@pytest.mark.parametrize(
    'student, teacher, fits',
    [
        (Shape((3,)), Shape((), classes=3), True),
        (Shape((3,)), Shape(()), True),
        (Shape((3,)), Shape((3,)), True),
        (Shape((3,)), Shape((), classes=4), False),
        (Shape((4, 3)), Shape((), classes=3), False),
        (Shape(()), Shape((), classes=3), False),
        (Shape((3,)), Shape((4,)), False),
    ],
)
def test_logits_and_index_have_the_same_classes(student, teacher, fits):
    if fits:
        return CrossEntropy().check(student, teacher)
    with pytest.raises(UserError) as error:
        CrossEntropy().check(student, teacher)
    assert str(student) in str(error.value)
    assert str(teacher) in str(error.value)
