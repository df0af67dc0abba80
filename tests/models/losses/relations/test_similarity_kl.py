"""What the queue of similarities promises beyond the contract."""

import pytest
import torch
import torch.nn.functional as F

from mmkd_custom.errors import UserError
from mmkd_custom.models.losses import SimilarityKL
from mmkd_custom.models.outputs import Shape

EYE = torch.eye(2)


def built(size=4, width=3):
    loss = SimilarityKL(size)
    loss.check(Shape((width,)), Shape((width,)))
    return loss


def test_unlike_vectors_of_a_queue_of_two():
    loss = built(2, 2).eval()
    loss.queue.copy_(EYE)
    value = loss(EYE[1:], EYE[:1])
    assert value.item() == pytest.approx(14.285696, rel=1e-6)
    # Neither length counts.
    assert loss(9 * EYE[1:], 0.1 * EYE[:1]) == value


def test_first_in_first_out():
    loss, rows = built(), torch.randn(3, 3, 3)
    for batch in rows:
        loss(torch.randn(3, 3), batch)
    newest = torch.cat([rows[2], rows[1]])[:4]
    torch.testing.assert_close(loss.queue, F.normalize(newest))
    more = torch.randn(7, 3)
    loss(torch.randn(7, 3), more)
    torch.testing.assert_close(loss.queue, F.normalize(more[:4]))


def test_rows_that_never_came_do_not_count():
    rows, student = torch.randn(2, 3, 3)
    values = {built(size)(student, rows).item() for size in (3, 4, 500)}
    assert max(values) == pytest.approx(min(values), rel=1e-6)
    assert min(values) > 0.1
    assert built().eval()(student, rows) == 0


def test_evaluation_leaves_it_as_it_is():
    loss = built()
    loss(*torch.randn(2, 3, 3))
    before = loss.queue.clone()
    loss.eval()(*torch.randn(2, 3, 3))
    assert torch.equal(loss.queue, before)


def test_a_checkpoint_has_it():
    batches = torch.randn(4, 2, 3, 3)
    whole, first, second = built(), built(), built()
    for batch in batches[:2]:
        assert whole(*batch) == first(*batch)
    second.load_state_dict(first.state_dict())
    for batch in batches[2:]:
        assert whole(*batch) == second(*batch)
    assert torch.equal(whole.queue, second.queue)


def test_gradients_outlive_the_next_batch():
    student = torch.randn(3, 3, requires_grad=True)
    loss = built()
    values = [loss(student, torch.randn(3, 3)) for _ in range(3)]
    sum(values).backward()
    assert student.grad.isfinite().all() and student.grad.abs().sum() > 0


def test_another_width_is_refused():
    with pytest.raises(UserError) as error:
        built().check(Shape((5,)), Shape((5,)))
    for word in ('SimilarityKL', '3', '(5,)'):
        assert word in str(error.value)
