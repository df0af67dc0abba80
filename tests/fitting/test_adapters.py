"""What is trained is what the mode says, and the teacher is left as it was."""

import sys

import pytest
import timm
import torch
import torch.nn as nn

from mmkd_custom.errors import UserError
from mmkd_custom.fitting.adapters import adapters, norm_parameters
from mmkd_custom.models.outputs import FEATURE, Outputs
from mmkd_custom.models.teachers.base import FrozenTeacher
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.wrappers.adapted import Adaptation
from tests.helpers import digests


class Attention(FrozenTeacher):
    """A network whose attention is torch's own; its head is not asked."""

    def __init__(self):
        super().__init__(mean=(0, 0, 0), std=(1, 1, 1))
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.fc = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)
        self.infer_dims((2, 2))

    def encode(self, inputs, wants):
        # (N, 3, H, W) -> (N, HW, 6)
        tokens = inputs.flatten(2).mT.repeat(1, 1, 2)
        tokens = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        feature = self.fc(self.norm(tokens)).mean(1)
        return Outputs(feature, self.head(feature))


def vit():
    return TimmTeacher('test_vit', input_size=32)


def example(size=32):
    return torch.randn(1, 3, size, size)


def feature_of(teacher, images):
    with torch.no_grad():
        return teacher.encode(images, (FEATURE,)).feature


def test_the_norm_layers_of_a_vit_b_have_38400_parameters():
    model = timm.create_model('vit_base_patch16_224', num_classes=0)
    found = norm_parameters(model)
    assert len(found) == 2 * 25
    assert sum(p.numel() for p in found.values()) == 38_400


@pytest.mark.parametrize(
    'name, layers',
    [
        ('test_vit', nn.LayerNorm),
        ('test_efficientnet', nn.BatchNorm2d),
        ('test_convnext', nn.LayerNorm),
    ],
)
def test_norm_trains_norm_layers_and_nothing_else(name, layers):
    teacher = TimmTeacher(name, input_size=64)
    before = digests(teacher)
    wanted = {
        f'norm/{path}.{own}'
        for path, module in teacher.named_modules()
        if isinstance(module, layers)
        for own, _ in module.named_parameters(recurse=False)
    }
    with adapters(teacher, 'norm', example(64)) as trained:
        assert trained.keys() == wanted
        teacher.encode(
            example(64), (FEATURE,)
        ).feature.square().sum().backward()
        with torch.no_grad():
            for parameter in trained.values():
                assert parameter.grad is not None
                parameter.add_(1.0)
        changed = {k for k, v in digests(teacher).items() if v != before[k]}
        # BatchNorm's statistics are not among them.
        assert {f'norm/{name}' for name in changed} == wanted
    assert digests(teacher) == before
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.grad is None for p in teacher.parameters())


def test_batch_norm_keeps_its_statistics_while_it_trains():
    teacher = TimmTeacher('test_efficientnet', input_size=64)
    buffers = {k: v.clone() for k, v in teacher.named_buffers()}
    with adapters(teacher, 'norm', example(64)):
        teacher.encode(torch.randn(4, 3, 64, 64), (FEATURE,))
        assert not any(module.training for module in teacher.modules())
    for name, value in teacher.named_buffers():
        assert torch.equal(value, buffers[name])


@pytest.mark.parametrize('kind', [vit, Attention])
@pytest.mark.parametrize('mode', ['norm', 'lora', 'full'])
def test_the_teacher_is_as_it_was_after_an_exception(kind, mode):
    if mode == 'lora':
        pytest.importorskip('peft')
    teacher = kind()
    digest, names = teacher.digest(), list(teacher.state_dict())
    modules = {name: id(module) for name, module in teacher.named_modules()}
    attributes = set(vars(teacher))
    with pytest.raises(ZeroDivisionError):
        with adapters(teacher, mode, example(), rank=2) as trained:
            assert all(p.requires_grad for p in trained.values())
            with torch.no_grad():
                for parameter in trained.values():
                    parameter.add_(1.0)
            raise ZeroDivisionError
    assert teacher.digest() == digest
    assert list(teacher.state_dict()) == names
    assert {n: id(m) for n, m in teacher.named_modules()} == modules
    assert set(vars(teacher)) == attributes
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(module.training for module in teacher.modules())


class Standardized(FrozenTeacher):
    """Its convolution computes with another weight than it has."""

    def __init__(self):
        super().__init__(mean=(0, 0, 0), std=(1, 1, 1))
        self.convolution = timm.layers.StdConv2d(3, 6, 1)
        self.fc = nn.Linear(6, 6)
        self.infer_dims((4, 4))

    def encode(self, inputs, wants):
        maps = self.convolution(inputs).relu()
        return Outputs(self.fc(maps.mean((2, 3))))


@pytest.mark.parametrize('name', ['test_vit', 'test_efficientnet', None])
def test_merged_lora_equals_the_adapted_network(name):
    pytest.importorskip('peft')
    teacher = TimmTeacher(name, input_size=32) if name else Standardized()
    images = torch.randn(3, 3, 32, 32)
    plain = feature_of(teacher, images)
    with adapters(teacher, 'lora', example(), rank=2, alpha=3.0) as trained:
        # B = 0 at first.
        torch.testing.assert_close(
            feature_of(teacher, images), plain, rtol=1e-5, atol=1e-6
        )
        with torch.no_grad():
            for parameter in trained.values():
                parameter.normal_(std=0.3)
        unmerged = feature_of(teacher, images)
        tensors = {k: v.detach().clone() for k, v in trained.items()}
    torch.testing.assert_close(feature_of(teacher, images), plain)
    Adaptation(
        tensors, '', '', ['a'], mode='lora', rank=2, alpha=3.0
    ).apply_to(teacher)
    assert (unmerged - plain).abs().max() > 0.05
    torch.testing.assert_close(
        feature_of(teacher, images), unmerged, rtol=1e-5, atol=1e-5
    )


def test_lora_is_on_the_pointwise_convolutions_that_the_feature_needs():
    pytest.importorskip('peft')
    teacher = TimmTeacher('test_efficientnet', input_size=32)
    wanted = {
        f'{name}.weight'
        for name, module in teacher.named_modules()
        if isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.groups == 1
    }
    with adapters(teacher, 'lora', example(), rank=2) as trained:
        assert {n.partition('/')[2] for n in trained} == wanted
    assert wanted


def test_full_trains_all_that_the_feature_goes_through():
    teacher = vit()
    wanted = {
        f'full/{name}'
        for name, _ in teacher.named_parameters()
        if not name.startswith('model.head.')
    }
    with adapters(teacher, 'full', example()) as trained:
        assert trained.keys() == wanted


def test_lora_is_on_the_linear_layers_that_the_feature_goes_through():
    pytest.importorskip('peft')
    teacher = vit()
    blocks = len(teacher.model.blocks)
    wanted = {
        f'model.blocks.{block}.{layer}.weight'
        for block in range(blocks)
        for layer in ('attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2')
    }
    with adapters(teacher, 'lora', example(), rank=2) as trained:
        assert {n.partition('/')[2] for n in trained} == wanted
        feature = teacher.encode(example(), (FEATURE,)).feature
        feature.square().sum().backward()
        grads = {n for n, p in trained.items() if p.grad is not None}
        assert grads == trained.keys()


def test_lora_leaves_alone_what_the_feature_does_not_go_through():
    pytest.importorskip('peft')

    class Aside(Attention):
        def __init__(self):
            super().__init__()
            self.aside = nn.ModuleDict(dict(fc=nn.Linear(6, 6)))

    teacher = Aside()
    aside, digest = teacher.aside['fc'], teacher.digest()
    # Nor what nn.MultiheadAttention reads without calling a layer.
    with adapters(teacher, 'lora', example(), rank=2) as trained:
        assert {n.partition('/')[2] for n in trained} == {'fc.weight'}
    assert teacher.aside['fc'] is aside and teacher.digest() == digest


class Plain(FrozenTeacher):
    """A network with neither of what is adapted."""

    def __init__(self):
        super().__init__(mean=(0, 0, 0), std=(1, 1, 1))
        self.convolution = nn.Conv2d(3, 4, 3)
        self.infer_dims((4, 4))

    def encode(self, inputs, wants):
        return Outputs(self.convolution(inputs).mean((2, 3)))


def asking():
    """A teacher that asks another one, through which no gradient comes."""
    teacher = vit()
    teacher.encode = vit().forward
    return teacher


@pytest.mark.parametrize(
    'kind, mode, named',
    [
        (Plain, 'norm', "mode='full'"),
        (Plain, 'lora', "mode='full'"),
        (Plain, 'bias', 'mode'),
        (asking, 'norm', 'mode'),
        (asking, 'full', 'mode'),
        (vit, 'lora', 'pip install peft'),
    ],
)
def test_what_cannot_be_adapted_is_refused(kind, mode, named, monkeypatch):
    teacher = kind()
    digest = teacher.digest()
    if kind is vit:
        monkeypatch.setitem(sys.modules, 'peft', None)
    elif mode == 'lora':
        pytest.importorskip('peft')
    with pytest.raises(UserError) as error:
        with adapters(teacher, mode, example()):
            pass
    assert named in str(error.value) and teacher.digest() == digest
