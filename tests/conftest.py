"""What every test shares: fixed seeds, no leaked state, where data lies."""

from __future__ import annotations

import logging
import os
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Dict, Iterator, List

import numpy as np
import pytest
import torch
from hypothesis import settings
from mmengine.config import config as mmengine_config
from mmengine.dataset import base_dataset
from mmengine.logging import MMLogger

from tests.helpers import forget_instances
from tests.layouts import DOMAINS, LAYOUTS
from tests.runners import small_config, small_runner  # noqa: F401
from tests.terminal import terminal  # noqa: F401

REPO = Path(__file__).resolve().parents[1]
# Where Python finds what a tool imports from beside itself.
sys.path.append(str(REPO / 'tools'))

# The machines that run this are shared: how long an example takes says
# nothing.
settings.register_profile(
    'mmkd_custom', deadline=None, max_examples=50, derandomize=True
)
settings.load_profile('mmkd_custom')
torch.set_num_threads(1)
# More than half of the time in which a small runner is built: MMEngine lays
# out the config three times and collects garbage for each dataset.
# Processes that tests start do both.
mmengine_config.FormatCode = lambda text, **_: (text, True)
base_dataset.gc = SimpleNamespace(collect=lambda: 0)
# On a GPU single precision is that of a CPU, and a run the same twice.
torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.deterministic = True


@pytest.fixture(autouse=True)
def isolation() -> Iterator[None]:
    """Seeds every RNG and drops MMEngine's process-wide instances after."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    forget_instances()


@pytest.fixture(scope='session')
def repo() -> Path:
    """The checkout."""
    return REPO


@pytest.fixture(scope='session')
def pacs_root() -> Path:
    """Folder of real images, two PACS domains; skips where it is absent."""
    default = REPO.parent / 'shared' / 'data' / 'pacs_two_domains'
    root = Path(os.environ.get('MMKD_TEST_PACS', default))
    if not root.is_dir():
        pytest.skip('no folder of real images: set MMKD_TEST_PACS')
    return root


@pytest.fixture(scope='session')
def layout(tmp_path_factory) -> Callable[[str], Dict[str, str]]:
    """Makes each layout once; gives the variables that name its data."""
    made = {}

    def find(name):
        kind = next((kind for kind in LAYOUTS if kind in name), None)
        if name.startswith('benchmark'):
            # What they take where DATA names no other.
            kind = 'domain_folder'
        if kind is None:
            # The solar cells come in a package.
            return dict(SEED='0')
        if kind not in made:
            made[kind] = LAYOUTS[kind](tmp_path_factory.mktemp(kind))
        source, target = DOMAINS.get(kind, ('unused', 'unused'))
        return dict(
            DATA_ROOT=str(made[kind]), SOURCE=source, TARGET=target, SEED='0'
        )

    return find


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
