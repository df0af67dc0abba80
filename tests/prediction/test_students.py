"""torch, ONNX Runtime and MMPretrain say the same of an image file."""

import json
import shutil

import numpy as np
import pytest
from mmpretrain.apis import ImageClassificationInferencer

from mmkd_custom.errors import UserError
from mmkd_custom.export import export_onnx
from mmkd_custom.prediction.students import Student
from tests.shipped_students import (
    CLASSES,
    PIPELINE,
    colour_student,
    picture,
    plain_student,
)

onnxruntime = pytest.importorskip('onnxruntime')


def said(student, *paths):
    return student([student.network.load(str(path)) for path in paths])


def test_all_ways_agree_with_mmpretrain(tmp_path):
    folder = tmp_path / 'student'
    model = plain_student(folder)
    export_onnx(model, folder / 'student.onnx', 32)
    run = tmp_path / 'run'
    shutil.copytree(folder, run / 'export')
    files = [
        picture(tmp_path / f'{i}.png', size=(40 + i, 30), seed=i)
        for i in range(3)
    ]
    inferencer = ImageClassificationInferencer(
        str(folder / 'config.py'),
        pretrained=str(folder / 'student.pth'),
        device='cpu',
    )
    wanted = [
        each['pred_scores'] for each in inferencer(list(map(str, files)))
    ]
    for where, onnx in (
        (folder, False),
        (folder, True),
        # Where the export of a run lies.
        (run, True),
        (folder / 'student.onnx', False),
    ):
        student = Student(where, onnx)
        np.testing.assert_allclose(said(student, *files), wanted, atol=1e-5)
        assert student.classes == CLASSES


def test_images_of_several_sizes_do_not_change_each_other(tmp_path):
    pipeline = [PIPELINE[0], PIPELINE[-1]]
    plain_student(tmp_path / 'student', pipeline)
    student = Student(tmp_path / 'student')
    files = [
        picture(tmp_path / f'{side}.png', size=(side, side))
        for side in (32, 48)
    ]
    both = said(student, *files)
    for file, scores in zip(files, both):
        np.testing.assert_allclose(said(student, file)[0], scores, atol=1e-6)


def test_a_file_that_takes_pixels_needs_no_config(tmp_path):
    folder = colour_student(tmp_path / 'colours')
    student = Student(folder / 'student_uint8.onnx')
    scores = said(
        student,
        picture(tmp_path / 'a.png', 'blue'),
        picture(tmp_path / 'b.png', 'red', size=(7, 90)),
    )
    assert scores.argmax(1).tolist() == [2, 0]
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)


def test_a_file_of_batches_of_one(tmp_path):
    plain_student(tmp_path / 'x', [*PIPELINE])
    folder = colour_student(tmp_path / 'x', CLASSES)
    config = folder / 'config.py'
    config.write_text(config.read_text().replace('32', '8'))
    student = Student(folder, onnx=True)
    files = [picture(tmp_path / f'{c}.png', c) for c in ('green', 'red')]
    assert said(student, *files).argmax(1).tolist() == [1, 0]


def test_what_is_wrong_with_a_folder_is_named(tmp_path):
    with pytest.raises(UserError, match='nowhere'):
        Student(tmp_path / 'nowhere')
    folder = colour_student(tmp_path / 'x', classes=['one', 'two'])
    image = picture(tmp_path / 'a.png')
    student = Student(folder / 'student_uint8.onnx')
    with pytest.raises(UserError, match='2 classes.* 3 outputs'):
        said(student, image)
    with pytest.raises(UserError, match='student_int8.onnx'):
        Student(folder / 'student_int8.onnx')
    (folder / 'broken.onnx').write_bytes(b'no model')
    with pytest.raises(UserError, match='broken.onnx'):
        Student(folder / 'broken.onnx')
    for text in ('{', json.dumps([1])):
        (folder / 'metadata.json').write_text(text)
        with pytest.raises(UserError, match='metadata.json'):
            Student(folder / 'student_uint8.onnx')
