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
    def test_memory_is_that_of_one_process_with_all_rows(self):
        losses, alone = built(), built()
        for batch in BATCHES:
            for loss in alone:
                loss(
                    batch.flatten(0, 1), batch.flatten(0, 1), LABELS.flatten()
                )
        self.join_group()
        for batch in BATCHES:
            for loss in losses:
                rows = batch[self.rank]
                loss(rows, rows, LABELS[self.rank])
        for one, other in zip(losses, alone):
            assert one.state_dict()
            torch.testing.assert_close(
                dict(one.state_dict()), dict(other.state_dict())
            )

    def test_negatives_are_the_rows_of_all_processes(self):
        rows = BATCHES[0].double()
        teacher = rows.flip(2)
        alone = Contrastive()(rows.flatten(0, 1), teacher.flatten(0, 1))
        self.join_group()
        own = Contrastive()(rows[self.rank], teacher[self.rank])
        torch.distributed.all_reduce(own)
        torch.testing.assert_close(own / 2, alone)
