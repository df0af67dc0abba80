"""What --cfg-options says, as values."""

import pytest

from mmkd_custom.engine.arguments import parse_options
from mmkd_custom.errors import UserError


def test_settings_of_the_config_are_parsed_as_python_values():
    words = ['a.b=2', 'c=[1,2]', 'd=None', 'e=x=y', 'a.b=3']
    assert parse_options(words) == {
        'a.b': 3,
        'c': [1, 2],
        'd': None,
        'e': 'x=y',
    }
    assert parse_options([]) == {}


def test_brackets_that_do_not_match_are_named():
    with pytest.raises(UserError, match=r'--cfg-options c=\[\(1,2\]'):
        parse_options(['c=[(1,2]'])
