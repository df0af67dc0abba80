"""Every loss has a share of a training step, and large ones are marked."""

from mmkd_custom.measuring.loss_cost import kinds_of, loss_costs, table
from mmkd_custom.models import losses


def test_every_loss_is_measured():
    costs = loss_costs(batch=2, size=32, rounds=1)
    assert all(share > 0 for share in costs.values())
    for name in losses.__all__:
        if name != 'Loss':
            for kind in kinds_of(name):
                assert (name, kind) in costs


def test_the_table_begins_with_the_dearest_and_marks_it():
    costs = {('MSE', 'vector'): 0.1, ('MSE', 'map'): 2.9}
    lines = table({**costs, ('DKD', 'logits'): 3.1}).splitlines()[2:]
    assert lines == [
        '| `DKD` | **3.10** |  |  |  |',
        '| `MSE` |  | 0.10 |  | 2.90 |',
    ]
