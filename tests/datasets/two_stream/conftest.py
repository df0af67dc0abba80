"""Samplers as the ranks of a run make them."""

import pytest

from mmkd_custom.datasets.two_stream import sampler
from tests.datasets.two_stream.helpers import make


@pytest.fixture
def ranks(monkeypatch):
    """Makes one sampler a rank, as each process of a run would."""

    def build(world_size, *args, **options):
        made = []
        for rank in range(world_size):
            monkeypatch.setattr(
                sampler, 'get_dist_info', lambda rank=rank: (rank, world_size)
            )
            made.append(make(*args, seed=1, **options))
        return made

    return build
