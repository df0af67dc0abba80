"""What is drawn of a corpus, and when."""

import copy
from unittest import mock

import numpy as np
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.networks import TextCorpus, text_corpus
from mmkd_custom.models.outputs import Shape


class Numbers:
    """Texts whose embedding is their number."""

    width = 2

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def read(self, rows):
        return torch.from_numpy(rows)[:, None].expand(-1, 2).float()


def network(count=10, seed=3, **options):
    found = TextCorpus(file='unused', **options)
    found.shapes = dict(feature=Shape((2,)))
    found.fill(Numbers(count))
    found.seed = seed
    return found


def walk(found, steps, images=4):
    rows = []
    for found.iteration in range(steps):
        rows.append(found.rows(images))
    return np.concatenate(rows)


def test_each_pass_is_another_permutation():
    rows = walk(network(), 5)
    for start in (0, 10):
        assert sorted(rows[start : start + 10]) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()
    assert rows.tolist() != walk(network(seed=4), 5).tolist()


def test_a_draw_follows_from_the_iteration_alone():
    rows = walk(network(), 5)
    late = network()
    late.iteration = 3
    assert late.rows(4).tolist() == rows[12:16].tolist()


def test_more_texts_than_the_corpus_has_go_on_in_the_next_passes():
    found = network(3, batch_size=8)
    rows = found.rows(4)
    assert len(rows) == 8
    assert sorted(rows[:3]) == sorted(rows[3:6]) == [0, 1, 2]


def test_processes_share_one_walk():
    parts = []
    for rank in (0, 1):
        with mock.patch.object(
            text_corpus, 'get_dist_info', return_value=(rank, 2)
        ):
            parts.append(walk(network(), 2, images=2).reshape(2, 2))
    rows = np.concatenate(parts, axis=1).flatten()
    assert rows.tolist() == walk(network(), 2).tolist()


def test_it_answers_with_features_of_texts():
    found = network()
    batch = mock.MagicMock(device=torch.device('cpu'))
    batch.__len__.return_value = 4
    feature = found.ask(batch, ('feature',)).feature
    assert feature[:, 0].tolist() == found.rows(4).tolist()
    assert copy.deepcopy(found) is found and not found.state_dict()


def test_it_needs_its_texts_first():
    with pytest.raises(UserError, match='TextCorpusHook'):
        TextCorpus(file='unused').ask(mock.MagicMock(), ('feature',))


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(), 'neither'),
        (dict(file='a', class_names=['b']), 'both'),
        (dict(file='a', batch_size=0), 'TextCorpus.batch_size'),
        (dict(file='a', nearest=-1), 'TextCorpus.nearest'),
        (dict(file='a', cache_dtype='half'), 'TextCorpus.cache_dtype'),
    ],
)
def test_a_wrong_option_is_named(options, named):
    with pytest.raises(UserError) as error:
        TextCorpus(**options)
    assert named in str(error.value)


def test_texts_of_another_width_and_none_at_all_are_refused():
    found = TextCorpus(file='unused')
    found.shapes = dict(feature=Shape((3,)))
    with pytest.raises(UserError, match='width 3'):
        found.fill(Numbers(4))
    found.shapes = dict(feature=Shape((2,)))
    with pytest.raises(UserError, match='got 0'):
        found.fill(Numbers(0))
