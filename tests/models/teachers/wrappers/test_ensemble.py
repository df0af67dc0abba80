"""Tests of EnsembleTeacher."""

from __future__ import annotations

import pytest
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.models.outputs import Outputs
from mmkd_custom.models.teachers.base import FrozenTeacher
from mmkd_custom.models.teachers.wrappers.ensemble import EnsembleTeacher
from mmkd_custom.registry import MODELS


class Linear(FrozenTeacher):
    """A teacher whose every value can be computed by hand."""

    def __init__(self, width=4, classes=2, seed=0, mean=0.0, std=1.0, **kw):
        super().__init__(mean=(mean,) * 3, std=(std,) * 3, **kw)
        torch.manual_seed(seed)
        self.body = nn.Linear(3, width)
        if classes:
            self.head = nn.Linear(width, classes)
        self.name = f'linear{seed}'
        self.seen = []
        self.infer_dims((8, 8))
        self.seen.clear()

    def encode(self, inputs, wants) -> Outputs:
        self.seen.append((tuple(inputs.shape), inputs.dtype, tuple(wants)))
        feature = self.body(inputs.mean((2, 3)))
        if not hasattr(self, 'head'):
            return Outputs(feature)
        return Outputs(feature, self.head(feature))


class Fixed(FrozenTeacher):
    """A teacher that says the same of every image."""

    def __init__(self, logits) -> None:
        super().__init__(mean=(0.0,) * 3, std=(1.0,) * 3)
        self.body = nn.Linear(1, 1)
        self.logits = torch.tensor([logits])
        self.infer_dims((8, 8))

    def encode(self, inputs, wants) -> Outputs:
        logits = self.logits.expand(len(inputs), -1)
        return Outputs(logits, logits)


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 8, 8), generator=generator).float()


def test_the_mean_of_probabilities_and_not_of_logits(images):
    teacher = EnsembleTeacher([Fixed([4.0, 0.0]), Fixed([0.0, 0.0])])
    q = teacher(teacher.prepare(images)).logits.softmax(1)
    # The mean of the logits would give 0.88080.
    wanted = torch.tensor([0.74101, 0.25899]).expand(3, 2)
    assert torch.allclose(q, wanted, atol=1e-5)


def test_weighted_mean(images):
    members = [Linear(seed=i, classes=5) for i in range(3)]
    teacher = EnsembleTeacher(members, weights=[2, 0, 6])
    inputs = teacher.prepare(images)
    found = teacher(inputs)
    p = [m(m.prepare(images)).logits.double().softmax(1) for m in members]
    wanted = 0.25 * p[0] + 0.75 * p[2]
    assert torch.allclose(found.logits.double().exp(), wanted, atol=1e-6)
    assert torch.allclose(found.logits.double().softmax(1), wanted, atol=1e-6)


def test_extreme_logits_stay_finite(images):
    teacher = EnsembleTeacher([Fixed([900.0, 0.0]), Fixed([800.0, 0.0])])
    logits = teacher(teacher.prepare(images)).logits
    assert torch.isfinite(logits).all()
    assert torch.allclose(
        logits[0, 1], torch.tensor(-800.0 - 0.693147), rtol=1e-6
    )


@pytest.mark.parametrize('weights', [None, [0.5, 3.0]])
def test_features_one_after_the_other(images, weights):
    members = [Linear(width=4, seed=0), Linear(width=6, seed=1, classes=0)]
    teacher = EnsembleTeacher(members, weights=weights, mode='features')
    assert teacher.offers == ('feature',) and teacher.num_classes is None
    assert teacher.feature_dim == 10 and teacher.dims == {'feature': (10,)}
    output = teacher(teacher.prepare(images))
    scale = weights or [1.0, 1.0]
    wanted = [w * m(m.prepare(images)).feature for w, m in zip(scale, members)]
    assert output.logits is None
    assert torch.allclose(output.feature, torch.cat(wanted, 1))


def test_each_prepares_its_own_input(images):
    members = [
        Linear(seed=0, mean=100.0, std=50.0, input_size=4),
        Linear(
            seed=1,
            mean=(127.0),
            std=128.0,
            input_size=(16, 12),
            dtype='bfloat16',
            max_batch=2,
        ),
    ]
    teacher = EnsembleTeacher(members)
    mean, std = (104.0, 117.0, 124.0), (57.0, 58.0, 59.0)
    # As a student's preprocessor leaves them: normalised, B, G, R.
    arrived = (images.flip(1) - torch.tensor(mean).view(3, 1, 1)) / (
        torch.tensor(std).view(3, 1, 1)
    )
    inputs = teacher.prepare(arrived, mean, std, to_rgb=False)
    assert torch.is_tensor(inputs)
    assert torch.allclose(inputs, images, atol=1e-4)
    output = teacher(inputs)
    assert [m.seen[0][:2] for m in members] == [
        ((3, 3, 4, 4), torch.float32),
        ((2, 3, 16, 12), torch.bfloat16),
    ]
    assert len(members[1].seen) == 2
    # As if each had been asked by itself.
    alone = [m(m.prepare(arrived, mean, std, to_rgb=False)) for m in members]
    assert torch.allclose(output.feature[:, :4], alone[0].feature, atol=1e-5)
    assert torch.allclose(output.feature[:, 4:], alone[1].feature, atol=0.05)


def test_members_keep_their_dtype_and_are_frozen():
    members = [Linear(seed=0), Linear(seed=1, dtype='float16')]
    teacher = EnsembleTeacher(members)
    dtypes = [{p.dtype for p in m.parameters()} for m in teacher.teachers]
    assert dtypes == [{torch.float32}, {torch.float16}]
    teacher.train()
    assert not any(m.training for m in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())


def test_only_what_is_wanted_is_asked_for(images):
    members = [Linear(seed=0), Linear(seed=1)]
    teacher = EnsembleTeacher(members)
    found = teacher(teacher.prepare(images), ('logits',))
    assert found.feature is None and found.logits.shape == (3, 2)
    assert all(m.seen[-1][2] == ('logits',) for m in members)
    assert [len(m.seen) for m in members] == [1, 1]


def test_standardising_the_joint_feature(images):
    teacher = EnsembleTeacher([Linear(seed=0), Linear(seed=1)])
    inputs = teacher.prepare(images)
    before = teacher(inputs)
    mean, std = torch.rand(2, 8) + 0.5
    teacher.standardize(mean, std)
    after = teacher(inputs)
    assert torch.allclose(after.feature, (before.feature - mean) / std)
    assert torch.equal(after.logits, before.logits)


def test_digest_covers_members_weights_and_mode():
    members = [Linear(seed=0), Linear(seed=1)]
    teachers = [
        EnsembleTeacher(members),
        EnsembleTeacher(members[::-1]),
        EnsembleTeacher(members, weights=[1, 2]),
        EnsembleTeacher(members, mode='features'),
        EnsembleTeacher(members, weights=[1, 2], mode='features'),
    ]
    assert len({teacher.digest() for teacher in teachers}) == 5
    # Probabilities depend on the weights' ratio alone.
    assert (
        EnsembleTeacher(members, weights=[2, 4]).digest()
        == teachers[2].digest()
    )


def test_describes_each_in_one_line():
    members = [Linear(seed=0, input_size=16), Linear(seed=1)]
    teacher = EnsembleTeacher(members, weights=[1, 3])
    text = teacher.describe()
    assert '\n' not in text and 'probabilities of 2 teachers' in text
    assert teacher.digest()[:12] in text
    for share, member in zip(('0.25 x', '0.75 x'), members):
        assert f'{share} [{member.describe()}]' in text


def test_built_from_a_config(images):
    config = dict(type='TimmTeacher', model_name='test_vit', input_size=32)
    teacher = MODELS.build(
        dict(
            type='EnsembleTeacher',
            teachers=[config, dict(config, max_batch=1)],
            max_batch=2,
            dtype='bfloat16',
        )
    )
    assert [m.max_batch for m in teacher.teachers] == [2, 2]
    assert {p.dtype for p in teacher.parameters()} == {torch.bfloat16}
    output = teacher(teacher.prepare(images))
    assert output.logits.shape == (3, teacher.num_classes)
    assert output.logits.dtype == torch.float32


def classes_of(member, *names, own_words=False):
    member.classes, member.own_words = names or None, own_words
    return member


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(teachers=[]), 'teachers'),
        (dict(teachers=dict(type='TimmTeacher')), 'teachers'),
        (dict(mode='votes'), 'mode'),
        (dict(weights=[1.0, -1.0]), 'weights'),
        (dict(weights=[0, 0]), 'weights'),
        (dict(weights=[float('nan'), 1]), 'weights'),
        (dict(weights=0.5), 'weights'),
        (dict(weights=[1]), 'weights'),
        (dict(teachers=[Linear(), Linear(classes=3)]), '3 of linear0'),
        (dict(teachers=[Linear(), Linear(classes=0)]), 'mode'),
        (
            dict(
                teachers=[
                    classes_of(Linear(), 'cat', 'dog'),
                    classes_of(Linear(), 'cat', 'owl'),
                ]
            ),
            "'owl'",
        ),
        (
            dict(
                teachers=[
                    classes_of(Linear(), 'dog', 'kitten', own_words=True),
                    classes_of(Linear(), 'cat', 'dog'),
                ]
            ),
            "'dog'",
        ),
    ],
)
def test_options_that_make_no_sense(options, named):
    defaults = dict(teachers=[Linear(seed=0), Linear(seed=1)])
    with pytest.raises(UserError) as error:
        EnsembleTeacher(**{**defaults, **options})
    assert named in str(error.value)


def test_names_of_classes():
    members = [
        classes_of(Linear(), 'kitten', 'dog', own_words=True),
        classes_of(Linear()),
        classes_of(Linear(), 'cat', 'dog'),
    ]
    for count, classes, own_words in (
        (3, ('cat', 'dog'), False),
        (2, ('kitten', 'dog'), True),
    ):
        teacher = EnsembleTeacher(members[:count])
        assert teacher.classes == classes and teacher.own_words is own_words
    assert EnsembleTeacher(members[1:2]).classes is None
