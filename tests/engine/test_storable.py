"""What cannot be read back is found before it is written."""

import datetime
import threading

import pytest
import torch
import torch.nn as nn
from mmengine.logging import HistoryBuffer

from mmkd_custom.engine.storable import unstorable


def test_what_runs_store_is_read_back():
    model = nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = dict(
        meta=dict(epoch=1, classes=('a', 'b'), rate=0.1, none=None),
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1]))),
    )
    assert list(unstorable(content)) == []


@pytest.mark.parametrize(
    'value', [datetime.datetime.now(), threading.Lock(), lambda: 0, object()]
)
def test_an_object_is_found_wherever_it_is(value):
    content = dict(
        meta=dict(a=1, b=[0, dict(c=(1, value))]),
        optimizer=dict(state={0: dict(x=torch.ones(2), y=value)}),
    )
    assert list(unstorable(content)) == [
        (('meta', 'b', 1, 'c', 1), value),
        (('optimizer', 'state', 0, 'y'), value),
    ]


def test_a_key_makes_its_owner_unstorable():
    owner = {datetime.date(2025, 1, 1): 1}
    assert list(unstorable(dict(a=owner))) == [(('a',), owner)]


def test_a_large_checkpoint_costs_little(monkeypatch):
    saved = []
    save = torch.save
    monkeypatch.setattr(
        torch,
        'save',
        lambda what, file: (save(what, file), saved.append(file)),
    )
    content = dict(
        state_dict=dict(weight=torch.zeros(10**6)),
        message_hub=dict(loss=HistoryBuffer([1.0] * 10**5, [1] * 10**5)),
    )
    assert list(unstorable(content)) == []
    (file,) = saved
    assert len(file.getvalue()) < 2000
