"""What a loss remembers is the same in all processes."""

import pytest
import torch

from mmkd_custom.models.losses import ConfidentCrossEntropy, SimilarityKL
from tests.two_ranks import TwoRanks

BATCHES = torch.linspace(0, 60, 2 * 3 * 4 * 5).sin().view(3, 2, 4, 5)


@pytest.mark.slow
class TestTwoRanks(TwoRanks):
    def test_memory_is_that_of_one_process_with_all_rows(self):
        losses = SimilarityKL(11), ConfidentCrossEntropy(momentum=0.3)
        alone = SimilarityKL(11), ConfidentCrossEntropy(momentum=0.3)
        for batch in BATCHES:
            for loss in alone:
                loss(batch.flatten(0, 1), batch.flatten(0, 1))
        self.join_group()
        for batch in BATCHES:
            for loss in losses:
                loss(batch[self.rank], batch[self.rank])
        for one, other in zip(losses, alone):
            assert one.state_dict()
            torch.testing.assert_close(
                dict(one.state_dict()), dict(other.state_dict())
            )
