"""The sentences nearest to images, against all pairs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmkd_custom.cache.store import FeatureStore
from mmkd_custom.texts import select
from mmkd_custom.texts.embedded import EmbeddedTexts


@pytest.fixture
def store(tmp_path):
    texts = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    made = FeatureStore(
        tmp_path / 'cache', {}, 50, 1, dict(feature=(8,)), 'float32'
    )
    made.write(torch.arange(50), torch.zeros(50).long(), dict(feature=texts))
    return made, texts


@pytest.mark.parametrize('nearest', [1, 3, 99])
def test_union_of_the_nearest_of_each_image(store, monkeypatch, nearest):
    monkeypatch.setattr(select, 'TEXTS', 7)
    monkeypatch.setattr(select, 'IMAGES', 4)
    store, texts = store
    images = torch.randn(9, 8, generator=torch.Generator().manual_seed(1))
    candidates = np.arange(0, 50, 2)
    found = select.nearest_texts(images, store, candidates, nearest)
    near = F.normalize(images) @ F.normalize(texts[candidates]).T
    best = near.topk(min(nearest, len(candidates)), 1).indices
    expected = sorted({int(candidates[i]) for i in best.flatten()})
    assert found.tolist() == expected
    drawn = EmbeddedTexts(store, found)
    assert len(drawn) == len(expected) and drawn.width == 8
    rows = np.array([0, len(expected) - 1])
    assert torch.equal(drawn.read(rows), texts[found[rows]])
