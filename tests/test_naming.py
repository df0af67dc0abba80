"""The three ways of naming a type of this package in a config."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.models import CustomKD
from tests.helpers import make_domains

# Distillation added to a config of MMPretrain that is not touched: its
# student, schedule, optimiser, hooks and preprocessor stay.
MIXED_IN = """
_base_ = 'mmpretrain::mobilenet_v3/mobilenet-v3-small_8xb128_in1k.py'

custom_imports = dict(imports=['mmkd_custom'])
model = dict(
    _delete_=True,
    type='mmkd_custom.CustomKD',
    student=_base_.model,
    teacher=dict(type='mmkd_custom.TimmTeacher', model_name='test_vit'))
custom_hooks = [dict(type='mmkd_custom.StageHook')]
"""

DATA = """
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=32),
    dict(type='PackInputs'),
]
folder = dict(
    type='mmkd_custom.DomainFolder', data_root=r'{root}', pipeline=pipeline)
train_dataloader = dict(
    _delete_=True, batch_size=4, num_workers=0,
    dataset=dict(
        type='mmkd_custom.TwoStreamDataset',
        labelled=dict(folder, domain='art'),
        unlabelled=dict(folder, domain='photo')),
    sampler=dict(type='mmkd_custom.TwoStreamSampler',
                 labelled=2, unlabelled=2, epoch_length=2),
    batch_sampler=dict(type='mmkd_custom.TwoStreamBatchSampler'))
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
train_cfg = dict(by_epoch=True, max_epochs=2)
"""

BARE = """
default_scope = 'mmkd_custom'
model = dict(
    type='CustomKD',
    student=dict(
        type='ImageClassifier',
        backbone=dict(type='MobileNetV3', arch='small'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=576)),
    teacher=dict(type='TimmTeacher', model_name='test_vit'))
optim_wrapper = dict(
    type='OptimWrapper', constructor='StagedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.01))
custom_hooks = [dict(type='StageHook')]
"""

LAZY = """
from mmpretrain.models import (GlobalAveragePooling, ImageClassifier,
                               LinearClsHead, MobileNetV3)
from mmkd_custom.engine import StageHook, StagedOptimWrapperConstructor
from mmkd_custom.models import CustomKD, TimmTeacher
from mmengine.optim import OptimWrapper
from torch.optim import SGD

default_scope = 'mmpretrain'
model = dict(
    type=CustomKD,
    student=dict(
        type=ImageClassifier,
        backbone=dict(type=MobileNetV3, arch='small'),
        neck=dict(type=GlobalAveragePooling),
        head=dict(type=LinearClsHead, num_classes=3, in_channels=576)),
    teacher=dict(type=TimmTeacher, model_name='test_vit'))
optim_wrapper = dict(
    type=OptimWrapper, constructor=StagedOptimWrapperConstructor,
    optimizer=dict(type=SGD, lr=0.01))
custom_hooks = [dict(type=StageHook)]
"""


@pytest.mark.parametrize(
    'name, text',
    [
        ('mixed_in', MIXED_IN + DATA),
        ('bare', BARE + DATA.replace('_delete_=True, ', '')),
        ('lazy', LAZY + DATA.replace('_delete_=True, ', '')),
    ],
)
def test_types_resolve_and_train(tmp_path, name, text):
    root = make_domains(tmp_path / 'data')
    path = tmp_path / f'{name}.py'
    path.write_text(text.format(root=root) if '{root}' in text else text)
    config = prepare(
        load_config(path), config_path=path, work_dir=str(tmp_path / 'work')
    )
    assert isinstance(config, Config)
    runner = Runner.from_cfg(config)
    assert isinstance(runner.model, CustomKD)
    before = runner.model.teacher.digest()
    weight = next(runner.model.student.parameters()).detach().clone()
    runner.train()
    assert runner.epoch == 2
    assert runner.model.teacher.digest() == before
    assert not torch.equal(weight, next(runner.model.student.parameters()))
    DefaultScope._instance_dict.clear()
