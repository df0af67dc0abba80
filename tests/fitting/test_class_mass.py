"""Classes of soft labels get the shares that are known."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from mmkd_custom.fitting.class_mass import with_class_mass


def soft(rows=200, classes=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, classes, generator=generator).mul(2).softmax(1)


def test_the_means_are_the_shares():
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4])
    found = with_class_mass(soft(), shares)
    torch.testing.assert_close(found.mean(0), shares, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.sum(1), torch.ones(200))


def test_of_two_classes_it_is_one_shift_of_the_log_odds():
    labels = soft(classes=2)
    odds = (labels[:, 1] / labels[:, 0]).log().double().numpy()

    def share(shift):
        return (1 / (1 + np.exp(-odds - shift))).mean() - 0.25

    shift = brentq(share, -20, 20)
    found = with_class_mass(labels, torch.tensor([0.75, 0.25]))
    np.testing.assert_allclose(
        found[:, 1], 1 / (1 + np.exp(-odds - shift)), atol=1e-3
    )


@pytest.mark.parametrize('rows', [1, 7])
def test_what_is_certain_stays(rows):
    labels = torch.eye(3)[torch.arange(rows) % 2]
    found = with_class_mass(labels, torch.tensor([0.2, 0.2, 0.6]))
    torch.testing.assert_close(found, labels)
