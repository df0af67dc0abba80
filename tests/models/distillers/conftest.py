"""Bare names and prefixes resolve as in a run of this project's configs."""

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def default_scope():
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        yield
