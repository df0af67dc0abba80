import numpy as np
import pytest
import torch

from mmkd_custom.models.losses import LogitsMSE


def test_is_the_mean_over_samples_and_classes():
    student, teacher = np.random.RandomState(0).randn(2, 6, 9)
    loss = LogitsMSE()(torch.from_numpy(student), torch.from_numpy(teacher))
    assert loss.item() == pytest.approx(
        np.mean((student - teacher) ** 2), rel=1e-12
    )


def test_a_shift_of_the_student_costs_its_square():
    logits = torch.randn(
        4, 5, generator=torch.Generator().manual_seed(0)
    ).double()
    assert LogitsMSE()(logits + 3, logits).item() == pytest.approx(9)


def test_the_target_does_not_matter():
    student, teacher = torch.eye(3), torch.ones(3, 3)
    loss = LogitsMSE()
    assert loss(student, teacher, torch.tensor([0, 1, -1])) == loss(
        student, teacher
    )
