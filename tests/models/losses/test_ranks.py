"""What a loss remembers is the same in all processes."""

import pytest
import torch

from mmkd_custom.models.losses import (
    ConfidentCrossEntropy,
    Contrastive,
    NormDirection,
    PseudoLabel,
    SimilarityKL,
)
from tests.two_ranks import TwoRanks

LABELS = torch.tensor([[0, 1, -1, 4], [1, 1, 0, -1]])
BATCHES = torch.linspace(0, 60, 2 * 3 * 4 * 5).sin().view(3, 2, 4, 5)


def built():
    return (
        SimilarityKL(11),
        ConfidentCrossEntropy(momentum=0.3),
        PseudoLabel(adaptive='free', momentum=0.3),
        NormDirection(num_classes=5),
    )


@pytest.mark.slow
class TestTwoRanks(TwoRanks):
    def test_memory_and_negatives_are_those_of_one_process(self):
        losses, alone = built(), built()
        for batch in BATCHES:
            for loss in alone:
                loss(
                    batch.flatten(0, 1), batch.flatten(0, 1), LABELS.flatten()
                )
        rows = BATCHES[0].double()
        sides = rows.flatten(0, 1), rows.flip(2).flatten(0, 1)
        negatives = Contrastive()(*sides)
        self.join_group()
        # Starting processes is what takes long: all in one test.
        rows = rows[self.rank]
        own = Contrastive()(rows, rows.flip(1))
        torch.distributed.all_reduce(own)
        torch.testing.assert_close(own / 2, negatives)
        for batch in BATCHES:
            for loss in losses:
                rows = batch[self.rank]
                loss(rows, rows, LABELS[self.rank])
        for one, other in zip(losses, alone):
            assert one.state_dict()
            torch.testing.assert_close(
                dict(one.state_dict()), dict(other.state_dict())
            )
