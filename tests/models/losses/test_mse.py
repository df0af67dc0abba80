import numpy as np
import pytest
import torch

from mmkd_custom.models.losses import MSE


@pytest.fixture
def features():
    return np.random.RandomState(0).randn(2, 6, 9)


def _loss(student, teacher, **kwargs):
    return MSE(**kwargs)(
        torch.from_numpy(student), torch.from_numpy(teacher)
    ).item()


def test_is_the_mean_over_samples_and_dimensions(features):
    student, teacher = features
    assert _loss(student, teacher) == pytest.approx(
        np.mean((student - teacher) ** 2), rel=1e-12
    )


def test_by_hand():
    loss = MSE()(
        torch.tensor([[1.0, 2.0], [0.0, 0.0]]),
        torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
    )
    assert loss == 2


def test_normalized_is_the_cosine_distance(features):
    student, teacher = features
    cosine = np.sum(student * teacher, 1) / (
        np.linalg.norm(student, axis=1) * np.linalg.norm(teacher, axis=1)
    )
    assert _loss(student, teacher, normalize=True) == pytest.approx(
        np.mean(2 - 2 * cosine) / student.shape[1], rel=1e-12
    )


def test_normalized_ignores_the_scale_of_each_sample(features):
    student, teacher = features
    scale = np.linspace(0.1, 50, len(student))[:, None]
    assert _loss(scale * student, teacher, normalize=True) == pytest.approx(
        _loss(student, teacher, normalize=True), rel=1e-12
    )


def test_a_dead_feature_has_a_gradient_that_float16_holds():
    student = torch.zeros(64, 576, dtype=torch.float16, requires_grad=True)
    teacher = torch.randn(64, 576, generator=torch.Generator().manual_seed(0))
    MSE(normalize=True)(student, teacher).backward()
    assert student.grad.isfinite().all()
    assert student.grad.abs().sum() > 0


def test_mixed_precision_of_the_two_sides():
    student = torch.full((2, 3), 2, dtype=torch.float16)
    assert MSE()(student, torch.zeros(2, 3)) == 4
