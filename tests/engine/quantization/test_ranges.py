"""What ranges are taken from."""

import pytest
import torch
import torch.nn as nn
from mmengine.optim import OptimWrapper

from mmkd_custom.engine.quantization import FakeQuantizers
from mmkd_custom.stages import CUSTOMIZATION, DISTILLATION
from tests.helpers import IMAGE_SIZE, build_customkd, digests, make_batch


def ranges_after_a_step(stage, bias):
    """The quantizers, with customized features about ``bias``."""
    model = build_customkd().train()
    torch.nn.init.constant_(model.teacher_projection.fc.bias, bias)
    model.set_stage(stage)
    quantizers = FakeQuantizers(model.student, IMAGE_SIZE)
    fresh = digests(quantizers)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0))
    torch.manual_seed(0)
    with quantizers.attach(model.student):
        model.train_step(make_batch([0, 1, None, None]), wrapper)
    return digests(quantizers), fresh


@pytest.mark.parametrize('stage', [CUSTOMIZATION, DISTILLATION])
def test_no_range_is_of_the_teachers_features(stage):
    # In both stages the student's head classifies them.
    near, fresh = ranges_after_a_step(stage, 0.0)
    far, _ = ranges_after_a_step(stage, 1e3)
    assert far == near
    assert (near == fresh) == (stage == CUSTOMIZATION)


class Block(nn.Module):
    """As a ResNet's: one ReLU after a convolution and after the sum."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.dirac_(self.conv.weight)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x, mode):
        out = self.relu(self.conv(x))
        out = 100 * x + out
        return self.relu(out)


def test_each_call_of_a_module_has_a_range_of_its_own():
    block = Block()
    quantizers = FakeQuantizers(block, 4)
    assert set(quantizers.outputs) == {'relu'}
    x = torch.rand(2, 3, 4, 4)
    with quantizers.attach(block):
        for _ in 'two steps':
            out = block(x, mode='tensor')
    (largest,) = [
        value
        for name, value in quantizers.outputs.named_buffers()
        if name.endswith('max_val')
    ]
    torch.testing.assert_close(largest, x.max(), atol=0.02, rtol=0)
    # Of the sum no operator of an int8 file is the end.
    torch.testing.assert_close(out, 101 * x, atol=0.02, rtol=0)


class Twice(nn.Module):
    """One layer that sees two tensors."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, images, mode):
        x = images.mean((2, 3))
        return self.fc(x) + self.fc(50 * x)


def test_each_call_of_a_layer_has_a_range_of_its_own():
    net = Twice()
    quantizers = FakeQuantizers(net, 4)
    with quantizers.attach(net):
        net(torch.ones(2, 3, 4, 4), mode='tensor')
    largest = [
        value.item()
        for name, value in quantizers.inputs.named_buffers()
        if name.endswith('max_val')
    ]
    assert largest == pytest.approx([1.0, 50.0])
