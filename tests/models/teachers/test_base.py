"""Tests of FrozenTeacher."""

from __future__ import annotations

import copy
import hashlib

import pytest
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.models.outputs import Outputs, Shape
from mmkd_custom.models.teachers import FrozenTeacher


class Small(FrozenTeacher):
    """Everything that training could move: BatchNorm, Dropout, a head."""

    def __init__(self, head: bool = True, **options) -> None:
        super().__init__(mean=(0,) * 3, std=(255,) * 3, **options)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5)
        )
        if head:
            self.head = nn.Linear(8, 5)
        self.seen_dtype = None
        self.infer_dims((8, 8))

    def encode(self, inputs: torch.Tensor, wants) -> Outputs:
        feature = self.body(inputs).mean((2, 3))
        self.seen_dtype = feature.dtype
        if not hasattr(self, 'head'):
            return Outputs(feature)
        return Outputs(feature, self.head(feature))


@pytest.fixture
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 8, 8, generator=generator)


def assert_frozen(teacher: FrozenTeacher) -> None:
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())


def test_dry_run_draws_no_random_number():
    teacher = Small()
    assert (teacher.feature_dim, teacher.num_classes) == (8, 5)
    assert Small(head=False).num_classes is None
    state = torch.random.get_rng_state()
    teacher.infer_dims((8, 8))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_shapes_are_those_at_the_input_size():
    class Maps(Small):
        def encode(self, inputs, wants):
            x = self.body(inputs)
            tokens = x.flatten(2).transpose(1, 2)
            return Outputs(x.mean((2, 3)), None, tokens, x.shape[2:], (x,))

    teacher = Maps(input_size=(12, 10), dtype='bfloat16')
    assert teacher.dims['maps.0'] == (8, 6, 6)
    teacher.standardize(torch.full((8,), 1 / 3), torch.ones(8))
    assert teacher.shapes == dict(
        feature=Shape((8,)),
        tokens=Shape((80, 8), (10, 8)),
        **{'maps.0': Shape((8, 10, 8))},
    )
    assert teacher.feature_mean[0] == torch.tensor(1 / 3)
    assert {p.dtype for p in teacher.parameters()} == {torch.bfloat16}
    assert Maps().shapes['tokens'].grid == (6, 6)


def test_stays_in_eval():
    teacher = Small()
    assert_frozen(teacher)
    assert teacher.train() is teacher
    assert_frozen(teacher)
    nn.ModuleDict(dict(teacher=teacher)).train()
    assert_frozen(teacher)


@pytest.mark.parametrize('autocast', [False, True])
def test_training_a_projection_changes_no_byte(images, autocast):
    teacher = Small()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    digest = teacher.digest()
    projection = nn.Linear(8, 3)
    start = projection.weight.detach().clone()
    optimizer = torch.optim.SGD(
        [*projection.parameters(), *teacher.parameters()],
        lr=1.0,
        momentum=0.9,
        weight_decay=0.1,
    )
    for _ in range(3):
        teacher.train()
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            loss = projection(teacher(images).feature).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert not torch.equal(projection.weight, start)
    after = teacher.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before)
    assert teacher.digest() == digest
    assert all(p.grad is None for p in teacher.parameters())


def test_autocast_of_the_student_changes_nothing(images):
    teacher = Small()
    plain = teacher(images)
    with torch.autocast('cpu', torch.bfloat16):
        cast = teacher(images)
        assert teacher.seen_dtype == torch.float32
    assert torch.equal(cast.feature, plain.feature)
    assert torch.equal(cast.logits, plain.logits)


@pytest.mark.parametrize('name', ['bfloat16', 'float16'])
def test_half_precision_weights_are_the_rounded_ones(name, images):
    torch.manual_seed(0)
    single = Small()
    torch.manual_seed(0)
    half, dtype = Small(dtype=name), getattr(torch, name)
    for key, value in single.state_dict().items():
        wanted = value.to(dtype) if value.is_floating_point() else value
        assert torch.equal(half.state_dict()[key], wanted)
    output = half(images)
    assert half.seen_dtype == dtype
    assert output.feature.dtype == output.logits.dtype == torch.float32


@pytest.mark.parametrize('channels_last', [False, True])
def test_memory_layout(channels_last):
    weight = Small(channels_last=channels_last).body[0].weight
    assert (
        weight.is_contiguous(memory_format=torch.channels_last)
        is channels_last
    )


def test_output_is_detached_but_no_inference_tensor(images):
    feature = Small()(images.requires_grad_()).feature
    assert not feature.requires_grad and not feature.is_inference()


def test_digest_is_the_sha256_of_names_and_bytes():
    torch.manual_seed(0)
    teacher = Small()
    sha = hashlib.sha256()
    for name, tensor in teacher.state_dict().items():
        sha.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        sha.update(tensor.contiguous().numpy().tobytes())
    assert teacher.digest() == sha.hexdigest()
    assert len(Small(dtype='bfloat16').digest()) == 64
    torch.manual_seed(0)
    assert Small(channels_last=False).digest() == teacher.digest()
    teacher.body[0].weight[0, 0, 0, 0] *= 1 + 2**-20
    assert teacher.digest() != sha.hexdigest()


def test_deep_copy_is_the_teacher_itself():
    teacher = Small()
    assert copy.deepcopy(teacher) is teacher
    owner = copy.deepcopy(dict(teacher=teacher, other=[1]))
    assert owner['teacher'] is teacher


def test_describe_is_one_line_of_facts():
    teacher = Small(input_size=16, dtype='bfloat16')
    text = teacher.describe()
    assert '\n' not in text
    for fact in (
        'Small',
        '16x16',
        'bfloat16',
        'feature 8',
        '5 classes',
        'weights random',
        teacher.digest()[:12],
    ):
        assert fact in text
    assert 'no head' in Small(head=False).describe()


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(dtype='int8'), "'int8'"),
        (dict(max_batch=0), 'max_batch.*0'),
        (dict(max_batch=True), 'max_batch.*True'),
        (dict(colour=3, size=4), "'colour', 'size'"),
    ],
)
def test_wrong_options(options, named):
    with pytest.raises(UserError, match=named):
        Small(**options)


@pytest.mark.parametrize(
    'found, named', [('image', r'\(1, 3, 8, 9\)'), ('error', '8 x 9.* 32 px')]
)
def test_network_without_a_vector(found, named):
    class Picky(FrozenTeacher):
        def encode(self, inputs, wants):
            assert found == 'image', 'only 32 px'
            return Outputs(inputs)

    teacher = Picky((0,) * 3, (1,) * 3)
    with pytest.raises(UserError, match=named):
        teacher.infer_dims((8, 9))


def test_what_it_does_not_offer(images):
    with pytest.raises(UserError, match='feature, logits.*maps'):
        Small()(images, ['maps'])
    with pytest.raises(UserError, match='Small'):
        Small().resume(images, 0)


def test_standardize_is_an_affine_of_the_feature(images):
    teacher = Small()
    plain = teacher(images).feature
    mean, std = torch.rand(2, teacher.feature_dim, dtype=torch.float64) + 0.5
    teacher.standardize(mean, std)
    torch.testing.assert_close(
        teacher(images).feature, ((plain - mean) / std).float()
    )
    assert not [k for k in teacher.state_dict() if 'feature' in k]


def test_standardize_may_rotate(images):
    teacher = Small()
    plain = teacher(images).feature
    basis = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q
    teacher.standardize(plain.mean(0), torch.full((8,), 2.0), basis)
    teacher.infer_dims((8, 8))
    expected = (plain - plain.mean(0)) @ basis.float() / 2
    torch.testing.assert_close(teacher(images).feature, expected)
    assert not [k for k in teacher.state_dict() if 'feature' in k]
    # And back.
    teacher.standardize(torch.zeros(8), torch.ones(8))
    assert torch.equal(teacher(images).feature, plain)


def test_a_dead_dimension_stays_quiet(images):
    teacher = Small()
    plain = teacher(images).feature
    std = torch.ones(teacher.feature_dim)
    std[0] = 1e-9
    teacher.standardize(torch.zeros(teacher.feature_dim), std)
    least = 0.1 * float(std.mean())
    torch.testing.assert_close(
        teacher(images).feature[:, 0], plain[:, 0] / least
    )


@pytest.mark.parametrize(
    'mean, std, words',
    [
        (torch.zeros(3), torch.ones(3), r'mean.*\(3,\)'),
        (torch.zeros(8), torch.zeros(8), 'Small'),
        (torch.full((8,), float('nan')), torch.ones(8), 'Small'),
    ],
)
def test_statistics_that_do_not_fit(mean, std, words):
    with pytest.raises(UserError, match=words):
        Small().standardize(mean, std)
