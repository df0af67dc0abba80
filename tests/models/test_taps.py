"""Taps give what a module consumed, and leave nothing behind."""

import pytest
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.models.taps import get_module, record_inputs


@pytest.fixture
def model():
    return nn.Sequential(
        nn.Linear(4, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 2))
    )


def test_get_module(model):
    assert get_module(model, '2.0', 'classifier') is model[2][0]
    with pytest.raises(UserError, match=r"classifier.*'2\.1'.*'2\.0'"):
        get_module(model, '2.1', 'classifier')


def test_inputs_are_what_the_layer_consumed(model):
    images = torch.randn(5, 4)
    with record_inputs(model[2][0]) as calls:
        model(images)
        model(-images)
    assert len(calls) == 2
    for call, given in zip(calls, (images, -images)):
        torch.testing.assert_close(call, model[0](given).relu())
    # They stay in the graph: gradients reach what came before.
    calls[0].sum().backward()
    assert model[0].weight.grad.abs().sum() > 0
    with pytest.raises(RuntimeError), record_inputs(model[0]):
        model(torch.randn(5, 7))
    assert not any(m._forward_pre_hooks for m in model.modules())
