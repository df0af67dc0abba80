"""Finished runs without having run: a work directory as one leaves it."""

import json

import torch
from mmengine.config import Config

from mmkd_custom.export import save_student
from mmkd_custom.registry import MODELS
from tests.helpers import make_domains

CLASSES = ['cat', 'dog', 'owl']
SIZE = 32
STUDENT = dict(
    type='ImageClassifier',
    backbone=dict(type='MobileNetV3', arch='small_050'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=288),
)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(SIZE, SIZE), interpolation='area'),
    dict(type='PackInputs'),
]


def finished_run(root, student=None, classes=CLASSES, unlabelled=True):
    """Writes images of two domains and a work directory; returns that."""
    torch.manual_seed(0)
    make_domains(root / 'data', per_class=3)
    student = student or STUDENT
    domain = dict(type='DomainFolder', data_root=str(root / 'data'))
    art = dict(domain, domain='art', pipeline=PIPELINE)
    photo = dict(domain, domain='photo', pipeline=PIPELINE)
    training = dict(type='TwoStreamDataset', labelled=art)
    if unlabelled:
        training['unlabelled'] = photo
    config = Config(
        dict(
            default_scope='mmkd_custom',
            model=dict(
                type='CustomKD',
                student=student,
                teacher=dict(type='TimmTeacher', model_name='test_vit'),
            ),
            data_preprocessor=dict(
                mean=[100.0] * 3, std=[50.0] * 3, to_rgb=True
            ),
            train_dataloader=dict(dataset=training),
            test_dataloader=dict(dataset=dict(photo, test_mode=True)),
            task='art->photo',
        )
    )
    work = root / 'work'
    work.mkdir()
    config.dump(work / 'config.py')
    model = MODELS.build(Config(dict(model=student)).model)
    # A fresh layer says nearly the same of everything.
    with torch.no_grad():
        said = model.eval()(torch.randn(8, 3, SIZE, SIZE))
        layer = model.head.fc
        layer.weight.div_(said.std())
    meta = dict(epoch=2, dataset_meta=dict(classes=classes))
    save_student(model.state_dict(), work / 'student.pth', meta)
    results = dict(task='art->photo', epochs=2, seed=0)
    results['last'] = {'accuracy/top1': 50.0}
    (work / 'results.json').write_text(json.dumps(results))
    return work
