"""Maps keep neighbours together, and neighbours tell classes."""

import numpy as np
import pytest

from mmkd_custom.analysis.embedding import (
    Features,
    embed,
    neighbour_accuracy,
)


@pytest.fixture
def clusters():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 12)
    centres = 10 * np.eye(3, 8)
    streams = np.array(['labelled', 'unlabelled'] * 18)
    values = centres[labels] + rng.normal(size=(36, 8))
    return Features('any', values, labels, streams)


def test_a_map_keeps_clusters_apart_and_is_seeded(clusters):
    found = embed(clusters.values)
    assert found.shape == (36, 2)
    distances = np.linalg.norm(found[:, None] - found[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest = clusters.labels[distances.argmin(1)]
    assert (nearest == clusters.labels).all()
    assert (found == embed(clusters.values)).all()


def test_labelled_neighbours_name_the_unlabelled(clusters):
    assert neighbour_accuracy(clusters) == 100
    # A third of the unlabelled are called otherwise, and one is unknown.
    labels = clusters.labels.copy()
    unlabelled = np.flatnonzero(clusters.streams == 'unlabelled')
    labels[unlabelled[:6]] = 2
    labels[unlabelled[6]] = -1
    moved = clusters._replace(labels=labels)
    assert neighbour_accuracy(moved) == pytest.approx(100 * 11 / 17)


def test_no_figure_without_both_streams(clusters):
    alone = clusters._replace(streams=np.full(36, 'labelled'))
    assert neighbour_accuracy(alone) is None
