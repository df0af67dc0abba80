"""Runs of a benchmark whose configs are never read."""

from pathlib import Path

import pytest

from mmkd_custom.benchmark.cells import Cell
from mmkd_custom.benchmark.tables import Run


@pytest.fixture
def cells(tmp_path):
    """Three seeds of one config."""
    return [
        Cell(
            Run('c', 'a->b', seed),
            Path('c.py'),
            (('SEED', str(seed)),),
            tmp_path / 'work' / str(seed),
        )
        for seed in range(3)
    ]
