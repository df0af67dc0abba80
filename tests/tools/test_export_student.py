"""tools/export_student.py, as a user runs it."""

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import TimmClassifier

from tests.cli import call_tool

onnxruntime = pytest.importorskip('onnxruntime')


def test_checkpoint_and_onnx(tmp_path, capsys):
    name = 'mobilenetv3_small_050'
    student = TimmClassifier(name, num_classes=3)
    state_dict = {
        f'student.{key}': value for key, value in student.state_dict().items()
    }
    torch.save(dict(state_dict=state_dict), tmp_path / 'epoch_1.pth')
    model = dict(type='TimmClassifier', model_name=name, num_classes=3)
    Config(dict(model=dict(type='CustomKD', student=model))).dump(
        tmp_path / 'c.py'
    )
    onnx = tmp_path / 'student.onnx'
    export = ('export_student.py', tmp_path, '--onnx', onnx)
    for sizes in ([], ['--input-size', 1, 2, 3]):
        assert call_tool(*export, *sizes) == 2
        assert '--input-size' in capsys.readouterr().err.splitlines()[-1]
    assert call_tool(*export, '--input-size', 32, 64) == 0
    assert '32 x 64' in capsys.readouterr().out
    session = onnxruntime.InferenceSession(
        str(onnx), providers=['CPUExecutionProvider']
    )
    assert session.get_inputs()[0].shape == ['batch', 3, 32, 64]
    content = torch.load(tmp_path / 'student.pth', weights_only=True)
    student.load_state_dict(content['state_dict'])
