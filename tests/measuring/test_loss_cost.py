"""Every loss has a share of a training step, and large ones are marked."""

from mmkd_custom.measuring.loss_cost import kinds_of, loss_costs, table
from mmkd_custom.models import losses


def test_every_loss_is_measured():
    costs = loss_costs(batch=2, size=32, rounds=1)
    assert all(share > 0 for share in costs.values())
    for name in losses.__all__:
        if name != 'Loss':
            for kind in kinds_of(name):
                assert f'{name} | {kind}' in costs


def test_the_table_begins_with_the_dearest_and_marks_it():
    lines = table({'MSE | vector': 2.9, 'RSD | vector': 3.1}).splitlines()
    assert [line.split(' | ') for line in lines[2:]] == [
        ['| `RSD`', 'vector', '**3.10** |'],
        ['| `MSE`', 'vector', '2.90 |'],
    ]
