"""Statistics of BatchNorm over given batches."""

import copy

import pytest
import torch
import torch.nn as nn
from torch.optim.swa_utils import update_bn

from mmkd_custom.engine.batch_norm import recompute
from tests.two_ranks import TwoRanks


def build(norm=nn.BatchNorm2d):
    torch.manual_seed(0)
    return nn.Sequential(
        norm(3),
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        norm(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
        nn.BatchNorm1d(5, track_running_stats=False),
        nn.BatchNorm1d(5),
    )


def images(count=12):
    generator = torch.Generator().manual_seed(1)
    return 7 + 3 * torch.randn(count, 3, 6, 6, generator=generator)


def statistics(model):
    return {
        name: value.double()
        for name, value in model.state_dict().items()
        if name.endswith(('running_mean', 'running_var'))
    }


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def test_of_one_batch_they_are_those_of_torch():
    model = build()
    expected = copy.deepcopy(model)
    update_bn([images()], expected)
    recompute(model, [images()], model)
    assert_close(statistics(model), statistics(expected))


def test_batches_count_by_their_size():
    model = build()
    parts = images().split([7, 3, 2])
    weights = {k: v.clone() for k, v in model.named_parameters()}
    recompute(model, parts, model)
    found = statistics(model)
    # By hand, in float64: the first layer sees the images, the fourth what
    # each batch becomes when it is normalised by itself.
    layers = build().double()
    x = images().double()
    seen = []
    for part in x.split([7, 3, 2]):
        spread = part.var((0, 2, 3), correction=0) + layers[0].eps
        mean = part.mean((0, 2, 3))
        part = (part - mean[:, None, None]) / spread.sqrt()[:, None, None]
        seen.append(layers[2](layers[1](part)))
    for name, y in (('0', x), ('3', torch.cat(seen))):
        flat = y.transpose(0, 1).flatten(1)
        assert_close(
            {k: found[f'{name}.{k}'] for k in ('running_mean', 'running_var')},
            dict(running_mean=flat.mean(1), running_var=flat.var(1)),
        )
    for name, value in model.named_parameters():
        assert torch.equal(value, weights[name])


def test_nothing_else_is_in_training_mode():
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2))
    seen = torch.ones(8, 2)
    recompute(model, [seen], model)
    assert torch.equal(model[1].running_mean, torch.ones(2))
    assert torch.equal(model[1].running_var, torch.zeros(2))
    assert model.training and model[0].training and model[1].training


def test_layers_that_nothing_reaches_stay():
    model = nn.ModuleList([nn.BatchNorm1d(2), nn.BatchNorm1d(2)])
    nn.init.constant_(model[1].running_mean, 3.0)
    recompute(model, [torch.randn(4, 2)], model[0])
    assert torch.equal(model[1].running_mean, torch.full((2,), 3.0))
    assert torch.equal(model[1].running_var, torch.ones(2))


@pytest.mark.slow
class TestDistributed(TwoRanks):
    """Ranks share the batches; one may have fewer."""

    def test_ranks_agree_with_one_process(self):
        self.join_group()
        parts = images().split(4)
        for norm in (nn.BatchNorm2d, nn.SyncBatchNorm):
            model, alone = build(norm), build()
            recompute(model, parts[self.rank :: 2], model)
            # All of them on one rank, none on the other.
            recompute(alone, parts if self.rank == 0 else [], alone)
            assert_close(statistics(model), statistics(alone))
