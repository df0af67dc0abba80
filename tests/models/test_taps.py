"""Taps give what a module consumed or returned, and leave nothing behind."""

import pytest
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.models.taps import get_module, record_inputs, record_outputs


@pytest.fixture
def model():
    return nn.Sequential(
        nn.Linear(4, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 2))
    )


def hooks(model):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks)
        for m in model.modules()
    )


def test_get_module_finds_nested_names(model):
    assert get_module(model, '2.0', 'classifier') is model[2][0]


def test_get_module_names_the_nearest(model):
    with pytest.raises(UserError, match=r"classifier='2\.1'.*'2\.0'"):
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
    model(images)
    assert len(calls) == 2


def test_outputs_are_in_the_order_of_the_last_calls(model):
    images = torch.randn(5, 4)
    parts = dict(last=model[2][0], first=model[0])
    with record_outputs(parts) as outputs:
        logits = model(images)
        assert list(outputs) == ['first', 'last']
        assert outputs['last'] is logits
        again = model[0](-images)
    assert list(outputs) == ['last', 'first']
    assert outputs['first'] is again


@pytest.mark.parametrize('listen', [record_inputs, record_outputs])
def test_a_failing_forward_leaves_no_hook(model, listen):
    target = model[0] if listen is record_inputs else dict(a=model[0])
    with pytest.raises(RuntimeError), listen(target):
        model(torch.randn(5, 7))
    assert hooks(model) == 0
