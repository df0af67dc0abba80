import torch

from mmkd_custom.cache.cached_keys import cache_of, marker
from mmkd_custom.cache.store import FeatureStore
from mmkd_custom.datasets import CachedKey, SampleKey


def test_a_batch_is_marked_when_all_of_it_is_there(tmp_path):
    store = FeatureStore(tmp_path / 'cache', {}, 4, 2, {'feature': (3,)})
    looks = []
    mark = marker(store, lambda: looks.append(0) or len(looks) > 1)
    keys = [SampleKey(0, 1), SampleKey(3, 0)]
    assert mark(keys) == keys
    for key in keys:
        assert mark(keys) == keys
        index, view = torch.tensor([key]).unbind(1)
        store.write(index, view, {'feature': torch.ones(1, 3)})
    assert not looks
    assert mark(keys) == [CachedKey(0, 1, False), CachedKey(3, 0, False)]
    assert mark(keys) == [CachedKey(0, 1, True), CachedKey(3, 0, True)]


def test_a_cache_of_something_else_is_none(small_runner):
    runner = small_runner()
    model = runner.model
    assert cache_of(model) is None
    runner.train()
    assert cache_of(model) is model.teacher.store
    model.teacher_wants = ('feature', 'logits')
    assert cache_of(model) is None

    def edit(config):
        config.model.teacher = config.model.teacher.teacher

    live = small_runner('live', edit=edit)
    assert cache_of(live.model) is None
