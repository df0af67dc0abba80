"""Draws that follow from a key, and pipelines that draw them."""

import random

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.datasets.two_stream.views import (
    compose,
    derive_seed,
    geometry_only,
    kept_rng,
    run_seeded,
    seed_rng,
    seeded_rng,
    without_label,
)
from mmkd_custom.errors import UserError


def draw():
    return (
        random.random(),
        np.random.rand(3).tolist(),
        torch.rand(3).tolist(),
    )


def states():
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )


def drawn(*key):
    with seeded_rng(*key):
        return draw()


@pytest.mark.parametrize(
    'key', [(0, 5), (0, 5, 3), (0, 2, 5), (1, 5, 2), (0, 52), (0, 5, 2, 0)]
)
def test_draws_follow_from_the_key(key):
    first = drawn(0, 5, 2)
    draw()
    assert drawn(0, 5, 2) == first
    assert all(a != b for a, b in zip(drawn(*key), first))


@pytest.mark.parametrize('scope', [kept_rng, lambda: seeded_rng(1)])
def test_former_states_come_back(scope):
    before = states()
    with scope():
        seed_rng(7)
        draw()
    assert states() == before
    with pytest.raises(KeyError), scope():
        seed_rng(7)
        raise KeyError
    assert states() == before


def test_scopes_nest_and_seeding_alone_draws_the_same():
    with seeded_rng(1):
        plain = [draw(), draw()]
    with seeded_rng(1):
        nested = [draw()]
        with seeded_rng(2):
            draw()
        nested.append(draw())
    assert nested == plain
    seed_rng(1)
    assert [draw(), draw()] == plain


def test_seeds_are_pinned():
    # Runs that were started with an older version go on with its views.
    # First 8 bytes of SHA-256 of '1:012:distillation', little-endian.
    assert derive_seed(0, 'distillation') == int.from_bytes(
        bytes.fromhex('7e0b1f9ebc49f3ab'), 'little'
    )
    assert derive_seed(1, 23) != derive_seed(12, 3)
    seed = derive_seed(0, 5, 2)
    torch_draws = torch.Generator().manual_seed(seed % 2**63)
    assert drawn(0, 5, 2) == (
        random.Random(seed).random(),
        np.random.RandomState(seed % 2**32).rand(3).tolist(),
        torch.rand(3, generator=torch_draws).tolist(),
    )


IMAGE = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
STEPS = [dict(type='RandomCrop', crop_size=4), dict(type='PackInputs')]


def test_pipelines_draw_from_the_key():
    pipeline = compose('x', STEPS)

    def run(*key):
        with kept_rng():
            info = dict(img=IMAGE, sample_idx=0)
            return run_seeded(pipeline, info, *key)['inputs']

    with seeded_rng(1, 2):
        expected = pipeline(dict(img=IMAGE))['inputs']
    assert torch.equal(run(1, 2), expected)
    assert any(not torch.equal(run(1, 3 + i), expected) for i in range(4))
    # Steps are built, or taken as they are.
    shape = compose('x', [STEPS[0], lambda results: results['img'].shape])
    assert shape(dict(img=IMAGE)) == (4, 4, 3)


@pytest.mark.parametrize('step', [lambda results: None, dict])
def test_what_is_not_packed_is_refused(step):
    with kept_rng(), pytest.raises(UserError, match='sample 7'):
        run_seeded(compose('x', [step]), dict(img=IMAGE, sample_idx=7), 0)


def test_labels_of_any_name_go_and_only_geometry_stays():
    info = dict(img_path='a', gt_label=1, gt_score=2, clean_label=3, view=4)
    info.update(my_gt_class=5)
    assert without_label(info) == dict(img_path='a', view=4)
    sample = DataSample(metainfo=dict(img_path='cat/a.jpg', flip=True))
    sample.set_gt_label(1)
    kept = geometry_only(sample)
    assert kept.metainfo == dict(flip=True) and not kept.keys()
