import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.utils.duration import parse_duration, spell_duration


@pytest.mark.parametrize(
    ('text', 'seconds'),
    [
        ('20m', 1200),
        ('1h30m', 5400),
        ('90 s', 90),
        ('1.5h', 5400),
        (45, 45),
        ('20', 20),
    ],
)
def test_what_people_write(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize('text', ['', '20x', 'soon', '0m', '-3', 'inf'])
def test_others_are_refused(text):
    with pytest.raises(UserError, match='^time: '):
        parse_duration(text)


def test_spelled_in_two_units_at_most():
    spelled = [spell_duration(s) for s in (7.4, 60, 200, 7500, 3600)]
    assert spelled == ['7 s', '1 min', '3 min 20 s', '2 h 5 min', '1 h']
