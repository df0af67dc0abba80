"""Known warnings of other packages: silenced in commands, by name alone."""

import logging
import warnings

import pytest

from mmkd_custom.cli.shared.quiet import LOG, quiet
from tests.cli import REPOSITORY


def told(message, category=UserWarning):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        with quiet():
            warnings.warn(message, category)
    return [str(one.message) for one in seen]


def test_known_ones_are_left_out_and_others_told():
    assert (
        told("'pin_memory' argument is set as true but no accelerator") == []
    )
    assert told('pin_memory is no more') == ['pin_memory is no more']


def test_the_log_too():
    logger, lines = logging.Logger('mmengine'), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    usual = logging.Logger.filter
    with quiet():
        for text in LOG:
            logger.warning('%s. Please', text)
        logger.warning('else')
    assert lines == ['else']
    # And then all is as it was.
    assert logging.Logger.filter is usual
    logger.warning(next(iter(LOG)))
    assert len(lines) == 2


def test_filters_are_as_they_were():
    before = list(warnings.filters)
    with pytest.raises(KeyError), quiet():
        assert warnings.filters != before
        raise KeyError
    assert warnings.filters == before


def test_the_library_leaves_filters_alone():
    package = REPOSITORY / 'mmkd_custom'
    # It is a process of its own.
    known = {package / 'measuring' / 'processes.py'}
    for path in set(package.rglob('*.py')) - known:
        text = path.read_text()
        if 'filterwarnings' in text or 'simplefilter' in text:
            assert 'catch_warnings' in text, path
