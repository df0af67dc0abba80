import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import TimmClassifier

onnxruntime = pytest.importorskip('onnxruntime')


def _tool(repo, *arguments):
    return subprocess.run(
        [sys.executable, str(repo / 'tools' / 'export_student.py')]
        + [str(argument) for argument in arguments],
        cwd=repo,
        env={**os.environ, 'PYTHONPATH': str(repo)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_checkpoint_and_onnx(tmp_path, repo):
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
    done = _tool(repo, tmp_path, '--onnx', onnx)
    assert done.returncode == 2
    assert '--input-size' in done.stderr and 'Traceback' not in done.stderr
    done = _tool(repo, tmp_path, '--onnx', onnx, '--input-size', 32, 64)
    assert done.returncode == 0, done.stderr
    assert '32 x 64' in done.stdout
    session = onnxruntime.InferenceSession(
        str(onnx), providers=['CPUExecutionProvider']
    )
    assert session.get_inputs()[0].shape == ['batch', 3, 32, 64]
    done = _tool(repo, tmp_path, '--onnx', onnx, '--input-size', 1, 2, 3)
    assert done.returncode == 2
    assert '--input-size' in done.stderr
    content = torch.load(tmp_path / 'student.pth', weights_only=True)
    student.load_state_dict(content['state_dict'])


def test_missing_work_dir(tmp_path, repo):
    done = _tool(repo, tmp_path / 'no')
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith(f'error: work directory {tmp_path / "no"}')
    )
