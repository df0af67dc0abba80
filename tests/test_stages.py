"""Which stage an epoch is in, and how often a stage was there before."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkd_custom.errors import UserError
from mmkd_custom.stages import (
    CUSTOMIZATION,
    DISTILLATION,
    LABELLED,
    Stage,
    StageSchedule,
)


def _reference(stages, epochs):
    """The names of the first epochs, by writing the cycle out."""
    cycle = [s.name for s in stages for _ in range(s.epochs)]
    return list(itertools.islice(itertools.cycle(cycle), epochs))


@pytest.mark.parametrize(
    'lengths', list(itertools.product(range(3), repeat=3))
)
def test_schedule_equals_written_out_cycle(lengths):
    names = (CUSTOMIZATION, DISTILLATION, 'other')
    stages = [Stage(n, length) for n, length in zip(names, lengths)]
    if not any(lengths):
        with pytest.raises(UserError, match='schedule'):
            StageSchedule(stages)
        return
    schedule = StageSchedule(stages)
    wanted = _reference(stages, 25)
    assert [schedule(epoch).name for epoch in range(25)] == wanted
    for epoch in range(25):
        assert schedule.occurrence(epoch) == wanted[:epoch].count(
            wanted[epoch]
        )
        for name in names:
            assert schedule.count(name, epoch) == wanted[:epoch].count(name)
    assert schedule.period == sum(lengths)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([CUSTOMIZATION, DISTILLATION, 'a']),
            st.integers(0, 5),
        ),
        max_size=5,
    ),
    st.integers(0, 60),
)
def test_a_stage_may_stand_twice_in_the_cycle(pairs, epoch):
    stages = [Stage(DISTILLATION)] + [Stage(*pair) for pair in pairs]
    schedule = StageSchedule(stages)
    wanted = _reference(stages, epoch + 1)
    assert schedule(epoch).name == wanted[-1]
    assert schedule.occurrence(epoch) == wanted[:-1].count(wanted[-1])


def test_the_stage_itself_is_given():
    customization = Stage(CUSTOMIZATION, 1, (LABELLED,))
    schedule = StageSchedule([customization, Stage(DISTILLATION)])
    assert schedule(0) is customization
    assert repr(schedule) == 'StageSchedule(customization=1, distillation=1)'


@pytest.mark.parametrize('length', [-1, 1.0, True])
def test_length_that_is_no_whole_number(length):
    with pytest.raises(UserError) as caught:
        StageSchedule([Stage(DISTILLATION), Stage('extra', length)])
    assert 'extra' in str(caught.value)
    assert repr(length) in str(caught.value)
