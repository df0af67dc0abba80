"""What ranges are taken from."""

import pytest
import torch
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
