"""Values of losses that papers and hand computations give."""

import math

import pytest
import torch

from mmkd_custom.registry import MODELS


def value(name, student, teacher, target=None, **options):
    """The loss of lists, in float64."""
    loss = MODELS.build(dict(type=name, **options))
    sides = [
        torch.tensor(side) if isinstance(side, list) else side
        for side in (student, teacher)
    ]
    sides = [s.double() if s.is_floating_point() else s for s in sides]
    if target is not None:
        target = torch.tensor(target)
    return loss(*sides, target).item()


LN3 = math.log(3)
LOGITS = [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    'expected, name, student, teacher, options',
    [
        (
            0.130812,
            'KLDivergence',
            [[0.0, 0]],
            [[LN3, 0]],
            dict(temperature=1),
        ),
        (0.137327, 'JensenShannon', [[0.0, 0]], [[LN3, 0]], {}),
        (0.033822, 'JensenShannon', [[0.0, 0]], [[LN3, 0]], dict(mode='jsd')),
        *(
            (
                expected,
                'OFA',
                [[0.0, 0]],
                [[LN3, 0]],
                dict(epsilon=epsilon, target=[0]),
            )
            for epsilon, expected in (
                (1, 0.693147),
                (1.5, 0.998154),
                (2, 1.472938),
            )
        ),
        *(
            (
                expected,
                'BalancedCrossEntropy',
                LOGITS,
                [2],
                dict(exponent=exponent, counts=[100, 10, 1]),
            )
            for exponent, expected in (
                (-0.5, 0.34800),
                (1, 4.70953),
                (2.5, 11.51609),
            )
        ),
        # Opposite one-hot tokens: 2 / D.
        (
            0.5,
            'L1',
            [[[3.0, 0, 0, 0]]],
            [[[-0.1, 0, 0, 0]]],
            dict(normalize=True),
        ),
        (0.483157, 'SmoothL1', LOGITS, [[1.0, 2, 3]], dict(layer_norm=True)),
        (0.292893, 'GramRelation', torch.eye(2), torch.ones(2, 1), {}),
        (
            0.00115385,
            'RSD',
            [[1.0, 2], [3, 1], [2, 5]],
            [[1.0, 2], [3, 1], [2, 5]],
            {},
        ),
        # 1 - cos of a right angle, and 2 - 2 cos of it in both views.
        (1, 'Cosine', [[2.0, 0]], [[0.0, 9]], {}),
        (6, 'DualView', torch.eye(2)[None], torch.eye(2)[None].flip(1), {}),
        # Two of four images are named with enough confidence.
        (
            math.log(3) / 2,
            'PseudoLabel',
            LOGITS * 4,
            [[9.0, 0, 0], [0, 9, 0], [1, 0, 0], [0, 0, 0]],
            {},
        ),
        (
            math.log(3),
            'WeightedGroundTruth',
            LOGITS * 2,
            [[9.0, 0, 0]] * 2,
            dict(target=[1, -1]),
        ),
        # Two classes that are always mistaken for each other.
        (0.5, 'MinimumClassConfusion', [[0.0, 0]], [[0.0, 0]], {}),
        # Covariances 1 and 9 of one channel, 0 of the other.
        (
            64 / 16,
            'CORAL',
            [[0.0, 1], [2**0.5, 1], [0, 1], [3 * 2**0.5, 1], [50, 50]],
            [0, 0, 1, 1, 2],
            {},
        ),
        # One wrong pair of two, at cosines 1 and 0.
        (
            math.log(1 + math.e),
            'Contrastive',
            torch.eye(2),
            torch.eye(2).flip(0),
            dict(temperature=1.0),
        ),
        # Three samples on a line and in a triangle: two angles of 0 and one
        # of 180 degrees are 60, each counted twice in 27.
        (
            (2 * (0.5**2 / 2) * 2 + 2 * (1.5 - 0.5)) / 27,
            'RKD',
            [[0.0], [1], [2]],
            [[0.0, 0], [1, 0], [0.5, 3**0.5 / 2]],
            dict(distance=0, angle=1),
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else '',
)
def test_value(expected, name, student, teacher, options):
    options = dict(options)
    target = options.pop('target', None)
    found = value(name, student, teacher, target, **options)
    assert found == pytest.approx(expected, rel=3e-5)


def test_log_sum_of_equal_sides_is_at_its_eps():
    found = value('LogSum', [[1.0], [3.0]], [[10.0], [30.0]])
    assert found + math.log(1e-4) == pytest.approx(-9.2103, abs=1e-4)


@pytest.mark.parametrize(
    'student, teacher, centre, expected',
    [
        ([3.0, 0], [0.0, 4], [2.0, 0], 0.25),
        ([6.0, 0], [0.0, 4], [2.0, 0], 0),
        ([3.0, 4], [0.0, 1], [1.0, 0], 0.4),
    ],
)
def test_norm_and_direction(student, teacher, centre, expected):
    loss = MODELS.build(dict(type='NormDirection', num_classes=1))
    centre, target = torch.tensor([centre]), torch.tensor([0])
    loss(centre, centre, target)
    student, teacher = torch.tensor([student]), torch.tensor([teacher])
    found = loss.eval()(student, teacher, target)
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('name', ['MaskedMSE', 'WeightedMSE'])
def test_weights_that_are_all_alike_are_the_plain_error(name):
    student = torch.randn(4, 9, 6)
    teacher = torch.sign(torch.randn(4, 9, 6))
    plain = MODELS.build(dict(type='MSE'))(student, teacher)
    if name == 'WeightedMSE':
        # Of equal norms; of equal variances.
        loss = MODELS.build(dict(type=name))
        torch.testing.assert_close(loss(student, teacher), plain)
        loss = MODELS.build(dict(type=name, weights='entropy'))
        same = teacher[:1, :, :1].expand_as(teacher)
        plain = MODELS.build(dict(type='MSE'))(student, same)
        torch.testing.assert_close(loss(student, same), plain)
    else:
        loss = MODELS.build(dict(type=name, diversity=0))
        loss(student, teacher)
        loss.vectors.data.zero_()
        torch.testing.assert_close(loss(student, teacher), plain)
        # Masks that are all alike are as little diverse as can be.
        loss.diversity = 1
        torch.testing.assert_close(loss(student, teacher), plain + 1)


def test_the_better_peer_learns_nothing():
    peers = torch.tensor([[[2.0, 0, 0]], [[1.0, 0, 0]]], requires_grad=True)
    loss = MODELS.build(dict(type='BetterPeer'))
    target = torch.tensor([0])
    better = loss(peers[0], peers[1].detach(), target)
    worse = loss(peers[1], peers[0].detach(), target)
    (better + worse).backward()
    assert better == 0 and worse > 0
    assert peers.grad[0].abs().sum() == 0 < peers.grad[1].abs().sum()


def test_ferkd_without_thresholds_is_the_soft_cross_entropy():
    student, teacher = torch.randn(2, 6, 4)
    expected = MODELS.build(dict(type='CrossEntropy'))(
        student, teacher.softmax(1)
    )
    loss = MODELS.build(dict(type='FerKD', drop=0, soft=0))
    found = loss(student, teacher, torch.arange(6) % 4)
    torch.testing.assert_close(found, expected)


def test_freematch_asks_less_of_a_rarer_class():
    loss = MODELS.build(dict(type='PseudoLabel', adaptive='free', momentum=0))
    common, rare = [[9.0, 0.0]], [[0.0, 1.0]]
    batch = torch.tensor(common * 3 + rare)
    student = torch.zeros(4, 2)
    assert loss(student, batch).item() == pytest.approx(math.log(2))
    # Of a common class so little confidence is not enough.
    loss.eval()
    unsure = torch.tensor([[1.0, 0.0]])
    assert loss(student[:1], unsure) == 0
    assert loss(student[:1], unsure.flip(1)) > 0


@pytest.mark.parametrize(
    'name, change',
    [
        ('AttentionTransfer', lambda x: 3 * x[:, torch.tensor([2, 0, 1])]),
        ('SelfSimilarity', lambda x: x * (1 + x[:, :1].abs())),
        ('GramRelation', lambda x: 7 * x.flip(2)),
        ('Cosine', lambda x: x * (1 + x[:, :1].abs())),
    ],
)
def test_what_changes_nothing(name, change):
    student, teacher = torch.randn(2, 4, 3, 2, 2, dtype=torch.float64)
    loss = MODELS.build(dict(type=name))
    expected = loss(student, teacher)
    torch.testing.assert_close(loss(change(student), teacher), expected)


def test_a_learnt_variance_is_that_of_what_cannot_be_predicted():
    loss = MODELS.build(dict(type='VID', variance=2.0))
    teacher = torch.tensor([[3.0, 0.1], [-3.0, -0.1]])
    loss(0 * teacher, teacher).backward()
    # Down the slope the variance of the first channel grows, from 2 to 9.
    assert loss.scale.grad[0] < 0 < loss.scale.grad[1]
    assert loss.state_dict()['scale'].shape == (2,)
