"""Generated images for the tests of the key."""

import pytest

from tests.helpers import make_domains


@pytest.fixture(scope='session')
def root(tmp_path_factory):
    """Two domains of three classes, three images each."""
    return make_domains(tmp_path_factory.mktemp('images'), per_class=3)
