"""Directions that tell the images of a class apart, but no classes."""

import pytest
import torch

from mmkd_custom.cache.opening import open_caches
from mmkd_custom.errors import UserError
from mmkd_custom.fitting import SubclassHook
from mmkd_custom.fitting.ahead.subclasses import subclass_directions
from mmkd_custom.fitting.logistic import fit_linear


def sample(per_class=40):
    """Two classes along axis 0; each has two halves, along another axis."""
    torch.manual_seed(0)
    labels = torch.arange(2).repeat_interleave(per_class)
    features = 0.1 * torch.randn(len(labels), 5)
    features[:, 0] += 4 * labels
    half = torch.arange(len(labels)) % 2 * 2 - 1
    features[labels == 0, 1] += 2 * half[labels == 0]
    features[labels == 1, 2] += 3 * half[labels == 1]
    return features, labels, half


def test_directions_are_those_of_each_class_off_the_classifier():
    features, labels, half = sample()
    means, directions = subclass_directions(features, labels, 2)
    rows = fit_linear(features, labels, 1.0, 'none')[0]['weight']
    for label in range(2):
        own = features[labels == label]
        torch.testing.assert_close(means[label], own.mean(0))
        v = directions[label]
        # Off the row space, and of deviation 1.
        assert (v @ rows.T).abs().max() < 1e-4 * rows.norm() * v.norm()
        along = (own - means[label]) @ v.T
        torch.testing.assert_close(
            along.std(0, False), torch.ones(2), atol=1e-3, rtol=0
        )
        assert along[:, 0].sign().eq(half[labels == label]).all() or (
            along[:, 0].sign().eq(-half[labels == label]).all()
        )


def test_a_class_with_few_images_has_fewer_directions():
    features, labels, _ = sample()
    kept = torch.cat([torch.arange(40), torch.tensor([40, 41])])
    _, directions = subclass_directions(features[kept], labels[kept], 4)
    assert directions.any(2).tolist() == [
        [True] * 4,
        [True, False, False, False],
    ]


@pytest.fixture
def runner_with(small_runner):
    """Builds a runner whose model has a head of subclasses, or not."""

    def make(*names, **options):
        def edit(config):
            config.model.networks = dict(probe=dict(type='LinearProbe'))
            for name in names:
                config.model.networks[name] = dict(
                    type='SubclassHead', logits='probe.logits', subclasses=2
                )

        runner = small_runner(edit=edit, **options)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        open_caches(runner)
        return runner

    return make


def test_the_hook_fills_the_head_before_step_one(runner_with):
    runner = runner_with('sub')
    head = runner.model.networks['sub']
    SubclassHook(batch_size=4).before_train(runner)
    assert head.means.any() and head.directions.isfinite().all()
    before = head.directions.clone()
    SubclassHook(batch_size=5).before_train(runner)
    assert torch.equal(before, head.directions)
    # A resumed run has them from its checkpoint.
    head.directions.zero_()
    runner.train_loop._iter = 3
    SubclassHook().before_train(runner)
    assert not head.directions.any()


def test_a_run_without_such_a_head_is_told(runner_with):
    with pytest.raises(UserError, match='SubclassHead'):
        SubclassHook().before_train(runner_with())
