"""The student that rounds in training beside its int8 file."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmpretrain.registry import MODELS

from mmkd_custom.engine.quantization import FakeQuantizers
from mmkd_custom.export.int8 import quantize
from mmkd_custom.export.onnx import export_onnx
from tests.helpers import student_config


class Few:
    """What ranges are taken from."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def batches(self, most, size):
        for images in self.images[:most].split(size):
            yield SimpleNamespace(prepared=images.numpy())


@torch.no_grad()
def test_rounding_errs_much_as_the_int8_file_does(tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    torch.manual_seed(0)
    student = MODELS.build(Config(dict(model=student_config())).model)
    images = torch.randn(64, 3, 32, 32)
    # BatchNorm statistics of these images, lest all fades away.
    for module in student.train().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    student(images)
    exact = student.eval()(images)
    quantizers = FakeQuantizers(student, 32)
    with quantizers.attach(student):
        fake = student(images)
    assert not torch.equal(student(images), fake)

    plain, rounded = tmp_path / 'plain.onnx', tmp_path / 'int8.onnx'
    export_onnx(student, plain, 32)
    quantize(plain, rounded, Few(images))
    session = onnxruntime.InferenceSession(str(rounded))
    (logits,) = session.run(None, {'input': images.numpy()})

    ours, theirs = fake - exact, torch.from_numpy(logits) - exact
    assert 0.5 < ours.norm() / theirs.norm() < 2
    # Random weights amplify each last bit: chance is 0 +- 0.06.
    alike = F.cosine_similarity(ours.flatten(), theirs.flatten(), 0)
    assert alike > 0.2
