"""What rounds in training, and to what."""

import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmpretrain.registry import MODELS

from mmkd_custom.engine.quantization import FakeQuantizers
from mmkd_custom.engine.quantization.fake import fake_weight
from tests.helpers import student_config


def build(**model):
    torch.manual_seed(0)
    return MODELS.build(Config(dict(model=model or student_config())).model)


def test_weight_is_rounded_by_channel_and_gradients_pass():
    weight = torch.tensor([[127.0, 0.4, -126.6], [1.0, 0.3, -0.5]])
    weight.requires_grad_()
    rounded = fake_weight(weight)
    step = torch.tensor([[1.0], [1 / 127]])
    wanted = torch.round(weight.detach() / step) * step
    torch.testing.assert_close(rounded, wanted)
    rounded.sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_rounding_before_a_batch_norm_is_rounding_what_is_fused():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4).eval()
    nn.init.uniform_(norm.weight, 0.1, 9)
    nn.init.uniform_(norm.running_var, 0.1, 9)
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    factor = factor.view(-1, 1, 1, 1)
    torch.testing.assert_close(
        fake_weight(conv.weight) * factor, fake_weight(conv.weight * factor)
    )


def test_outputs_are_rounded_where_one_operator_ends():
    student = build(
        type='ImageClassifier',
        backbone=dict(type='ResNet_CIFAR', depth=18, out_indices=(0,)),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=64),
    )
    ends = set(FakeQuantizers(student, 32).outputs)
    # The stem's ReLU; of a block, whose second ReLU is after the sum, the
    # first one and the BatchNorm; of a layer without either, itself.
    block = 'backbone/layer1/0/'
    assert {'backbone/relu', f'{block}relu', f'{block}bn2'} <= ends
    assert 'head/fc' in ends
    assert 'backbone/conv1' not in ends and f'{block}bn1' not in ends


def test_attached_student_rounds_and_then_is_what_it_was():
    student = build().eval()
    keys, before = list(student.state_dict()), student.head.layers[0].fc.weight
    quantizers = FakeQuantizers(student, 32)
    assert list(student.state_dict()) == keys
    images = torch.randn(4, 3, 32, 32)
    exact = student(images)
    with quantizers.attach(student):
        rounded = student(images)
    rounded.sum().backward()
    assert torch.equal(student(images), exact)
    assert student.head.layers[0].fc.weight is before
    assert before.grad is not None
    gap = (rounded - exact).abs().max()
    assert 0 < gap < 0.2 * exact.abs().max()


@pytest.mark.parametrize('key', ['inputs', 'outputs'])
def test_ranges_are_those_of_what_came(key):
    student = nn.Sequential(nn.Linear(2, 2, bias=False))
    nn.init.eye_(student[0].weight)
    student.forward = lambda x, mode: nn.Sequential.forward(student, x)
    quantizers = FakeQuantizers(_Flat(student), 1)
    with quantizers.attach(_Flat(student)):
        student[0](torch.tensor([[-1.0, 3.0]]))
    observer = getattr(quantizers, key)['net/0'][0].activation_post_process
    found = torch.stack([observer.min_val, observer.max_val])
    # An output is that of rounded inputs.
    torch.testing.assert_close(
        found, torch.tensor([-1.0, 3.0]), atol=0.02, rtol=0
    )


class _Flat(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images, mode):
        return self.net[0](images.flatten(1)[:, :2])
