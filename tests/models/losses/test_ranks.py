"""What a loss remembers is the same in all processes."""

import pytest
import torch

from mmkd_custom.models.losses import Contrastive
from mmkd_custom.registry import MODELS
from tests.models.losses.cases import features, predictions, relations
from tests.two_ranks import TwoRanks

LABELS = torch.tensor([[0, 1, -1, 4], [1, 1, 0, -1]])
BATCHES = torch.linspace(0, 60, 2 * 3 * 4 * 5).sin().view(3, 2, 4, 5)
#: All with a buffer, which the contract sees to.
REMEMBER = [
    case
    for part in (predictions, features, relations)
    for case in part.TABLE
    if case.remembers
]


def built():
    return [MODELS.build(dict(c.options, type=c.name)) for c in REMEMBER]


def right(case):
    """Right sides of all batches, made of both ranks' rows at once."""
    sides = (batch.flatten(0, 1) for batch in BATCHES)
    sides = [case.right(side) if case.right else side for side in sides]
    return torch.stack(sides).unflatten(1, (2, 4))


@pytest.mark.slow
class TestTwoRanks(TwoRanks):
    def test_memory_and_negatives_are_those_of_one_process(self):
        losses, alone, rights = built(), built(), [*map(right, REMEMBER)]
        for loss, sides in zip(alone, rights):
            for rows in zip(BATCHES, sides):
                loss(*(x.flatten(0, 1) for x in rows), LABELS.flatten())
        rows = BATCHES[0].double()
        sides = rows.flatten(0, 1), rows.flip(2).flatten(0, 1)
        negatives = Contrastive()(*sides)
        self.join_group()
        # Starting processes is what takes long: all in one test.
        rows = rows[self.rank]
        own = Contrastive()(rows, rows.flip(1))
        torch.distributed.all_reduce(own)
        torch.testing.assert_close(own / 2, negatives)
        for loss, sides in zip(losses, rights):
            for rows in zip(BATCHES, sides):
                loss(*(x[self.rank] for x in rows), LABELS[self.rank])
        for one, other in zip(losses, alone):
            assert one.state_dict()
            torch.testing.assert_close(
                dict(one.state_dict()), dict(other.state_dict())
            )
