"""What the tests of teachers share."""

from __future__ import annotations

import logging
from typing import Iterator, List

import pytest
from mmengine.logging import MMLogger


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f'{record.levelname} {record.getMessage()}')


@pytest.fixture
def log_lines() -> Iterator[List[str]]:
    """Lines of MMEngine's log, which pytest's caplog does not see."""
    logger, records = MMLogger.get_current_instance(), _Records()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(records)
    yield records.lines
    logger.removeHandler(records)
    logger.setLevel(level)
