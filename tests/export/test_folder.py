"""The folder that ships."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from safetensors import safe_open

from mmkd_custom.errors import UserError
from mmkd_custom.export import (
    Wanted,
    export_folder,
    export_onnx,
    load_student,
)
from mmkd_custom.export.onnx import open_session
from tests.export.runs import CLASSES, SIZE, STUDENT, finished_run

onnxruntime = pytest.importorskip('onnxruntime')


@pytest.fixture
def unchecked(monkeypatch):
    """Starts no other process, which takes longer than all else."""
    monkeypatch.setattr(
        'mmkd_custom.export.folder.check_elsewhere', lambda *_: None
    )


def test_everything_of_a_run(tmp_path):
    work, out = finished_run(tmp_path), tmp_path / 'out'
    before = sorted(work.iterdir())
    wanted = Wanted(fold=True, int8=True)
    facts = export_folder(work, out, wanted=wanted)
    assert sorted(work.iterdir()) == before
    assert json.loads((out / 'metadata.json').read_text()) == facts
    named = {file.name for file in out.iterdir()} - {'metadata.json'}
    assert named == set(facts['files'])

    assert facts['task'] == 'art->photo' and facts['classes'] == CLASSES
    assert facts['input_size'] == [SIZE, SIZE]
    assert (facts['mean'], facts['std']) == ([100.0] * 3, [50.0] * 3)
    assert facts['to_rgb'] is True and facts['needs'] == []
    assert facts['metrics'] == {'accuracy/top1': 50.0}
    (teacher,) = facts['teachers']
    assert teacher['name'] == 'test_vit'
    # It was of random weights, which are not kept.
    assert (teacher['weights'], teacher['sha256']) == ('random', None)
    assert facts['checked_with_mmpretrain'] is True
    assert str(tmp_path) not in json.dumps(facts)

    files = facts['files']
    for name in ('student.onnx', 'student_uint8.onnx'):
        assert files[name]['same_top1'] == files[name]['test_images'] == 9
        assert files[name]['max_logit_difference'] <= 1e-4
    assert files['student_int8.onnx']['calibration_images'] == 9
    assert files['student_int8.onnx']['same_top1'] >= 7
    share = (
        files['student_int8.onnx']['bytes'] / files['student.onnx']['bytes']
    )
    assert share < 0.6

    student = load_student(work, work / 'student.pth').model
    with safe_open(out / 'student.safetensors', 'pt') as file:
        assert json.loads(file.metadata()['classes']) == CLASSES
        assert set(file.keys()) == set(student.state_dict())
    config = Config.fromfile(out / 'config.py')
    text = (out / 'config.py').read_text()
    assert 'mmkd_custom' not in text and str(tmp_path) not in text
    assert config.model.type == 'ImageClassifier'

    image = np.random.RandomState(0).randint(0, 256, (2, 50, 70, 3))
    image = image.astype(np.uint8)
    for name in ('student_uint8.onnx', 'student_int8_uint8.onnx'):
        session = open_session(out / name)
        logits, scores = session.run(
            ['logits', 'probabilities'], dict(image=image)
        )
        assert logits.shape == scores.shape == (2, 3)
        wanted = torch.from_numpy(logits).softmax(1).numpy()
        np.testing.assert_allclose(scores, wanted, rtol=1e-4)


def test_older_export_is_replaced(tmp_path, unchecked):
    work, out = finished_run(tmp_path), tmp_path / 'out'
    export_folder(work, out, wanted=Wanted(onnx=True))
    (out / 'notes.txt').write_text('mine')
    facts = export_folder(work, out)
    assert 'student.onnx' not in facts['files']
    assert not (out / 'student.onnx').exists()
    assert (out / 'notes.txt').exists()


def test_without_test_images_noise_is_compared(tmp_path, unchecked):
    work, out = finished_run(tmp_path), tmp_path / 'out'
    (tmp_path / 'data').rename(tmp_path / 'gone')
    facts = export_folder(work, out, wanted=Wanted(onnx=True, fold=True))
    assert facts['not_compared'] and str(tmp_path) not in json.dumps(facts)
    assert facts['files']['student.onnx']['top1'] is None
    for name in ('student.onnx', 'student_uint8.onnx'):
        assert facts['files'][name]['same_top1'] == 2


def test_parts_of_this_package_are_named(tmp_path):
    student = dict(
        type='ImageClassifier',
        backbone=dict(type='mmkd_custom.WideResNet', depth=10, widen_factor=1),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=64),
    )
    work = finished_run(tmp_path, student)
    facts = export_folder(work)
    assert len(facts['needs']) == 1
    assert facts['checked_with_mmpretrain'] is False
    config = Config.fromfile(work / 'export' / 'config.py')
    assert config.custom_imports.imports == ['mmkd_custom']


@pytest.mark.parametrize(
    'damage, wanted, named',
    [
        (lambda w: (w / 'results.json').unlink(), Wanted(), 'results.json'),
        (lambda w: None, Wanted(input_size=(8, 8), fold=True), '--fold'),
        (lambda w: None, Wanted(input_size=(8, 8), int8=True), '--input-size'),
        (lambda w: None, Wanted(calibrate='x'), '--calibrate'),
        (lambda w: None, Wanted(int8=True, calibrate='/no'), '/no'),
    ],
)
def test_what_cannot_be_exported(tmp_path, damage, wanted, named):
    work = finished_run(tmp_path)
    damage(work)
    with pytest.raises(UserError, match=named):
        export_folder(work, wanted=wanted)
    assert not (work / 'export').exists()


@pytest.mark.parametrize('classes', [['a', 'b'], ['cat', 'owl', 'dog']])
def test_other_classes_are_refused(tmp_path, classes):
    work = finished_run(tmp_path, classes=classes)
    with pytest.raises(UserError, match='classes'):
        export_folder(work)


def test_no_images_to_calibrate_on(tmp_path, unchecked):
    work = finished_run(tmp_path, unlabelled=False)
    with pytest.raises(UserError, match='--int8: .*--calibrate'):
        export_folder(work, wanted=Wanted(int8=True))
    photos = str(tmp_path / 'data' / 'photo')
    wanted = Wanted(int8=True, calibrate=photos)
    facts = export_folder(work, wanted=wanted)
    assert facts['files']['student_int8.onnx']['calibration_images'] == 9


def test_weights_of_another_run_have_no_metrics(tmp_path, unchecked):
    work, other = finished_run(tmp_path), tmp_path / 'other.pth'
    other.write_bytes((work / 'student.pth').read_bytes())
    facts = export_folder(work, tmp_path / 'out', other)
    assert facts['metrics'] == facts['run'] == {}


class _Odd(torch.nn.Module):
    def forward(self, x):
        return torch.special.i1e(x)


class _OddNeck(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.odd = _Odd()

    def forward(self, maps):
        return tuple(self.odd(x.mean((2, 3))) for x in maps)


def test_operator_that_onnx_lacks_is_named_with_its_layer(tmp_path):
    student = MODELS.build(Config(dict(model=STUDENT)).model)
    student.neck = _OddNeck()
    with pytest.raises(
        UserError, match=r'aten::special_i1e .*layer neck\.odd'
    ):
        export_onnx(student, tmp_path / 'a.onnx', SIZE)
    assert not list(tmp_path.iterdir())
