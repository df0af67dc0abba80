"""Students of low rank: sizes, the nearest product, what it ships as."""

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from mmkd_custom.errors import UserError
from mmkd_custom.models.low_rank import factors, rank_of, split_layer
from mmkd_custom.models.student import Student
from mmkd_custom.registry import MODELS
from tests.helpers import IMAGE_SIZE, student_config


def build(**options):
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        return MODELS.build(
            dict(
                type='LowRankStudent',
                model=student_config(),
                input_size=IMAGE_SIZE,
                **options,
            )
        )


def test_rank_and_error():
    assert rank_of(768, 768, 2.0) == 192
    weight = torch.randn(12, 8)
    second, first = factors(weight, 3)
    assert (second.shape, first.shape) == ((12, 3), (3, 8))
    # Eckart and Young: what is left are the other singular values.
    left = torch.linalg.svdvals(weight)[3:].square().sum()
    error = (weight - second @ first).square().sum()
    torch.testing.assert_close(error, left)


@pytest.mark.parametrize(
    ('layer', 'shape'),
    [
        (nn.Linear(20, 12), (2, 20)),
        (nn.Conv2d(20, 12, 1, stride=2), (2, 20, 5, 5)),
        (nn.Conv2d(20, 12, 1, bias=False), (2, 20, 4, 4)),
    ],
)
def test_a_layer_of_low_rank_stays_what_it_is(layer, shape):
    with torch.no_grad():
        flat = layer.weight.flatten(1)
        flat.copy_(torch.randn(12, 3) @ torch.randn(3, 20))
    pair = split_layer(layer, 2.0)
    assert pair[0].weight.shape[0] == 3
    x = torch.randn(shape)
    torch.testing.assert_close(pair(x), layer(x), rtol=1e-4, atol=1e-4)


def test_others_are_left_alone():
    for layer in (
        nn.Conv2d(8, 8, 3),
        nn.Conv2d(8, 8, 1, groups=8),
        nn.BatchNorm2d(8),
        nn.Linear(1, 1),
    ):
        assert split_layer(layer, 2.0) is layer


def test_a_student_is_smaller_and_starts_from_the_whole_one(tmp_path):
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        whole = MODELS.build(student_config())
    file = tmp_path / 'student.pth'
    torch.save(dict(state_dict=whole.state_dict()), file)
    student = build(checkpoint=str(file))
    view = Student(student, input_size=IMAGE_SIZE)
    assert (
        view.feature_dim == Student(whole, input_size=IMAGE_SIZE).feature_dim
    )
    last = Student(whole, input_size=IMAGE_SIZE).classifier
    assert torch.equal(view.classifier.weight, last.weight)
    counts = [
        sum(p.numel() for p in model.parameters())
        for model in (student, whole)
    ]
    assert counts[0] < 0.75 * counts[1]
    assert build().state_dict().keys() == student.state_dict().keys()


def test_a_wrong_ratio_is_named():
    with pytest.raises(UserError, match='ratio'):
        build(ratio=0.5)
