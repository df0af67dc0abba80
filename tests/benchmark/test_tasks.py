"""How tasks are named on a command line."""

import pytest

from mmkd_custom.benchmark.tasks import parse_tasks, protocol_tasks
from mmkd_custom.errors import UserError


@pytest.mark.parametrize(
    'text, expected',
    [
        ('x:y z', dict(SOURCE='x', TARGET='y z')),
        # Several sources: the target is none of them.
        ('x,y:z', dict(SOURCE='x,y', TARGET='z')),
        ('LABEL_FRACTION=0.05', dict(LABEL_FRACTION='0.05')),
        (
            'SOURCE=mono,TARGET=poly,EVAL_SPLIT=val',
            dict(SOURCE='mono', TARGET='poly', EVAL_SPLIT='val'),
        ),
        # Commas that no name follows are of the value.
        ('SOURCE=x,y,TARGET=a=b:c', dict(SOURCE='x,y', TARGET='a=b:c')),
    ],
)
def test_variables(text, expected):
    assert parse_tasks([text]) == [expected]


@pytest.mark.parametrize(
    'text',
    [
        *('x', ':y', 'x:y:z', 'x:x', 'x y,z:x_y', 'SOURCE=x,TARGET=X'),
        *('A=', 'x,A=1', 'A=1,A=2', 'SEED=1', '=1'),
    ],
)
def test_what_is_no_task_is_refused(text):
    with pytest.raises(UserError, match=f'--tasks: .* {text}'):
        parse_tasks([text])


def test_protocols():
    found = protocol_tasks('officehome')
    pairs = {(task['SOURCE'], task['TARGET']) for task in found}
    assert len(pairs) == len(found) == 12
    assert {('Art', 'Real World'), ('Real World', 'Art')} <= pairs
    assert protocol_tasks('visda') == [
        dict(SOURCE='train', TARGET='validation')
    ]
    for name, named in (
        ('cifar100', 'CIFAR-100'),
        ('officehom', 'officehome'),
    ):
        with pytest.raises(UserError, match=named):
            protocol_tasks(name)
