"""The file says what the student says, or there is none."""

import copy
import sys

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from mmkd_custom.errors import UserError
from mmkd_custom.export import export_onnx

onnxruntime = pytest.importorskip('onnxruntime')

MOBILENET = dict(
    type='ImageClassifier',
    backbone=dict(type='MobileNetV3', arch='small_050'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=288),
)
VIT = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch='deit-tiny',
        img_size=32,
        patch_size=16,
    ),
    head=dict(type='VisionTransformerClsHead', num_classes=5, in_channels=192),
)
SWIN = dict(
    type='ImageClassifier',
    backbone=dict(
        type='SwinTransformer',
        arch=dict(embed_dims=32, depths=[2, 2], num_heads=[1, 2]),
        img_size=64,
        window_size=4,
        out_indices=(1,),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=64),
)
TIMM = dict(
    type='TimmClassifier', model_name='mobilenetv3_small_050', num_classes=5
)


def _build(cfg):
    return MODELS.build(Config(dict(model=copy.deepcopy(cfg))).model)


@pytest.mark.parametrize('cfg', [MOBILENET, VIT, TIMM])
def test_onnx_gives_the_logits_for_any_batch(cfg, tmp_path):
    student = _build(cfg).train()
    before = copy.deepcopy(student.state_dict())
    rng = torch.get_rng_state()
    path = tmp_path / 'a.onnx'
    file = export_onnx(student, path, 32)
    assert file.difference <= 1e-4
    assert file.batch is None
    assert student.training
    assert torch.equal(torch.get_rng_state(), rng)
    after = student.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert [file.name for file in tmp_path.iterdir()] == ['a.onnx']

    session = onnxruntime.InferenceSession(
        str(path), providers=['CPUExecutionProvider']
    )
    student.eval()
    for batch in (1, 3):
        images = torch.randn(batch, 3, 32, 32)
        (got,) = session.run(['logits'], dict(input=images.numpy()))
        with torch.no_grad():
            wanted = student(images)
        torch.testing.assert_close(
            torch.from_numpy(got), wanted, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize(
    'cfg, size, channels, batch',
    [
        (MOBILENET, (32, 48), 3, 'batch'),
        (MOBILENET, 32, 1, 'batch'),
        # It counts its windows when it is traced.
        (SWIN, (64, 96), 3, 1),
    ],
)
def test_shape_of_the_input(cfg, size, channels, batch, tmp_path):
    path, student = tmp_path / 'a.onnx', _build(cfg)
    if channels == 1:
        conv = torch.nn.Conv2d(1, 16, 3, 2, 1, bias=False)
        student.backbone.layer0.conv = conv
    file = export_onnx(student, path, size, channels=channels)
    assert file.batch == (None if batch == 'batch' else batch)
    assert file.difference <= 1e-4
    session = onnxruntime.InferenceSession(
        str(path), providers=['CPUExecutionProvider']
    )
    sides = size if isinstance(size, tuple) else (size, size)
    assert session.get_inputs()[0].shape == [batch, channels, *sides]
    assert session.get_outputs()[0].shape == [batch, 5]
    assert [f.name for f in tmp_path.iterdir()] == ['a.onnx']


class _TrainedOtherwise(torch.nn.Module):
    """Traces to a constant: the file cannot agree with the module."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, inputs, mode):
        self.calls += 1
        return inputs.mean((2, 3)) + float(self.calls)


def test_mismatch_raises_and_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError, match='a.onnx'):
        export_onnx(_TrainedOtherwise(), tmp_path / 'a.onnx', 8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('size', [0, -1, (0,), (8, 0), (1, 2, 3), ()])
def test_size_that_is_none_is_refused(size, tmp_path):
    with pytest.raises(UserError, match='--input-size'):
        export_onnx(_build(MOBILENET), tmp_path / 'a.onnx', size)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match='a.onnx'):
        export_onnx(_build(MOBILENET), tmp_path / 'no' / 'a.onnx', 32)


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime'])
def test_missing_package_is_named(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf'{package}\b.*\[export\]'):
        export_onnx(_build(MOBILENET), tmp_path / 'a.onnx', 32)
