"""The rate falls, then stays."""

import math

import pytest
import torch
from mmengine.registry import DefaultScope

from mmkd_custom.engine import CosineConstantLR
from mmkd_custom.errors import UserError
from mmkd_custom.registry import PARAM_SCHEDULERS


def rates(scheduler, optimizer, steps):
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return found


def test_the_last_share_of_the_run_is_constant():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        scheduler = PARAM_SCHEDULERS.build(
            dict(
                type='CosineConstantLR',
                optimizer=optimizer,
                end=20,
                by_epoch=True,
                convert_to_iter_based=True,
                epoch_length=4,
                constant=0.25,
                eta_min_ratio=0.1,
            )
        )
    found = rates(scheduler, optimizer, 80)
    expected = [
        0.2 + 0.9 * (1 + math.cos(math.pi * step / 60)) for step in range(60)
    ]
    assert found[:60] == pytest.approx(expected)
    assert found[60:] == [found[59]] * 20
    assert found[-1] == pytest.approx(0.2, rel=1e-2)


@pytest.mark.parametrize(
    'option, value',
    [
        *(('constant', 1), ('constant', -0.1), ('constant', 'abc')),
        # They would bend the curve, or leave the end open.
        *(('T_max', 9), ('eta_min', 0.1)),
    ],
)
def test_an_option_that_cannot_be_is_named(option, value):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(UserError, match=f'{option}: .*{value!r}'):
        CosineConstantLR(optimizer, end=4, **{option: value})
