"""Which row the rule chooses."""

import pytest

from mmkd_custom.benchmark.choosing import chosen_row
from mmkd_custom.benchmark.tables import Run, metric_tables

HELD_OUT = 'held_out/accuracy/top1'


def chosen(rows, lost=()):
    """Chooses among rows of agreement, by task, and held-out accuracy."""
    results = {}
    for config, (agreements, held_out) in rows.items():
        for task, agreement in enumerate(agreements):
            for seed in range(2):
                selection = dict(agreement=agreement + seed)
                if held_out is not None:
                    selection[HELD_OUT] = held_out
                # What has target labels must not matter.
                metrics = dict(top1=100.0 - agreement)
                results[Run(config, f'{task}', seed)] = dict(
                    last=metrics, oracle=metrics, selection=selection
                )
    runs = list(results)
    for run in lost:
        del results[run]
    return chosen_row(metric_tables(runs, results))


@pytest.mark.parametrize(
    'rows, expected',
    [
        # The mean over tasks, not the best task.
        (dict(a=([90, 50], 9), b=([80, 70], 1), c=([70, 70], 99)), 'b'),
        # Equal to what a table shows: the held-out images decide.
        (dict(a=([80, 70], 1), b=([75.002, 75], 2), c=([75, 74], 9)), 'b'),
        (dict(a=([80, 70], 1), b=([75, 75.002], None)), 'a'),
        (dict(a=([80, 70], None), b=([75, 75], None)), 'a'),
    ],
)
def test_the_highest_mean_agreement(rows, expected):
    assert chosen(rows) == expected


def test_a_row_that_is_not_measured_in_full_is_not_chosen():
    rows = dict(a=([90, 90], 1), b=([80, 80], 1))
    lost = [Run('a', '1', 0)]
    assert chosen(rows, lost) == 'b'
    assert chosen(dict(a=rows['a']), lost) is None
