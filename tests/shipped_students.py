"""Folders of students, as runs and exports leave them, without a training."""

import json

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from PIL import Image

from mmkd_custom.export import save_student
from tests.helpers import teacher_config

CLASSES = ['cat', 'dog', 'owl']
STUDENT = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmpretrain.MobileNetV3', arch='small_050'),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(type='mmpretrain.LinearClsHead', num_classes=3, in_channels=288),
)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(32, 32)),
    dict(type='PackInputs'),
]
COLOURS = ['red', 'green', 'blue']


def plain_student(folder, pipeline=PIPELINE, model=None):
    """Writes a config and ``student.pth``; returns the model."""
    torch.manual_seed(0)
    student = MODELS.build(Config(dict(model=STUDENT)).model)
    # With the statistics of a training, without which all images are alike.
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        for _ in range(4):
            student(torch.randn(16, 3, 32, 32))
        student.eval().head.fc.weight.mul_(4)
    folder.mkdir(exist_ok=True)
    save_student(
        student.state_dict(),
        folder / 'student.pth',
        dict(dataset_meta=dict(classes=CLASSES)),
    )
    loader = dict(dataset=dict(type='CustomDataset', pipeline=pipeline))
    Config(
        dict(
            default_scope='mmpretrain',
            model=model or STUDENT,
            data_preprocessor=dict(
                mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True, num_classes=3
            ),
            test_dataloader=loader,
        )
    ).dump(folder / 'config.py')
    return student


def finished_run(folder):
    """Writes what a distillation of :func:`plain_student` leaves."""
    model = dict(type='CustomKD', student=STUDENT, teacher=teacher_config())
    student = plain_student(folder, model=model)
    results = dict(last={'accuracy/top1': 50.0}, epochs=1)
    (folder / 'results.json').write_text(json.dumps(results))
    return student


def colour_student(folder, classes=COLOURS):
    """Writes files that say which of R, G and B an image has most of.

    ``student_uint8.onnx`` takes pixels of any size, ``student.onnx`` images
    (1, 3, 8, 8): one at a time.
    """
    import onnx
    from onnx import TensorProto, helper

    folder.mkdir(exist_ok=True)
    logits = helper.make_tensor_value_info('logits', TensorProto.FLOAT, None)
    probabilities = helper.make_tensor_value_info(
        'probabilities', TensorProto.FLOAT, None
    )
    for name, kind, shape, axes in (
        ('student_uint8', TensorProto.UINT8, ['n', 'h', 'w', 3], [1, 2]),
        ('student', TensorProto.FLOAT, [1, 3, 8, 8], [2, 3]),
    ):
        nodes = [
            helper.make_node('Cast', ['image'], ['x'], to=TensorProto.FLOAT),
            helper.make_node(
                'ReduceMean', ['x'], ['logits'], axes=axes, keepdims=0
            ),
        ]
        outputs = [logits]
        if kind == TensorProto.UINT8:
            nodes.append(
                helper.make_node('Softmax', ['logits'], ['probabilities'])
            )
            outputs.append(probabilities)
        image = helper.make_tensor_value_info('image', kind, shape)
        graph = helper.make_graph(nodes, name, [image], outputs)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9
        )
        onnx.save(model, folder / f'{name}.onnx')
    about = json.dumps(dict(classes=classes))
    (folder / 'metadata.json').write_text(about)
    return folder


def picture(path, colour=None, size=(40, 30), seed=0):
    """Writes an image, grey with a little more of one colour, or noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if colour is None:
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    else:
        pixels = np.full((*size[::-1], 3), 100, np.uint8)
        pixels[..., COLOURS.index(colour)] += 4
    Image.fromarray(pixels).save(path)
    return path
