"""What leaves a run is the plain student, and of the right run."""

import os
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.models import TimmClassifier
from mmpretrain.registry import MODELS

from mmkd_custom.errors import UserError
from mmkd_custom.export import (
    export_student,
    load_student,
    save_student,
    student_state_dict,
)
from mmkd_custom.utils.compat import keep_nested_state_dict
from mmkd_custom.utils.files import load_checkpoint

STUDENT = dict(
    type='ImageClassifier',
    backbone=dict(type='MobileNetV3', arch='small_050'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=288),
)
TIMM = dict(
    type='TimmClassifier', model_name='mobilenetv3_small_050', num_classes=3
)


class _Distiller(nn.Module):
    def __init__(self, student):
        super().__init__()
        self.student = student
        self.projection = nn.Linear(4, 5)
        keep_nested_state_dict(self)


def _classifier():
    return MODELS.build(Config(dict(model=STUDENT)).model)


def _run_dir(tmp_path, epochs=(1,), student=None):
    """A work directory as a run leaves it; gives the last weights."""
    distiller = _Distiller(student or _classifier())
    for epoch in epochs:
        nn.init.normal_(distiller.projection.weight)
        for parameter in distiller.student.parameters():
            nn.init.normal_(parameter, std=0.05)
        _config(tmp_path)
        torch.save(
            dict(
                meta=dict(
                    epoch=epoch,
                    cfg='teacher = 1',
                    dataset_meta=dict(classes=('a', 'b', 'c')),
                ),
                state_dict=distiller.state_dict(),
                message_hub=dict(log=HistoryBuffer([1.0], [1])),
            ),
            tmp_path / f'epoch_{epoch}.pth',
        )
    return distiller.student


def _config(tmp_path, student=STUDENT, **others):
    model = dict(type='CustomKD', student=student, teacher=dict(type='None'))
    Config(dict(model=model, **others)).dump(tmp_path / 'config.py')


def _same(a, b):
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_student_is_what_has_its_prefix():
    distiller = _Distiller(_classifier())
    wanted, whole = distiller.student.state_dict(), distiller.state_dict()
    # A plain classifier is left as it is.
    for given in (whole, dict(state_dict=whole), wanted):
        found = student_state_dict(given)
        assert _same(found, wanted) and isinstance(found, OrderedDict)


def test_timm_student_round_trip(tmp_path):
    student = TimmClassifier('mobilenetv3_small_050', num_classes=3)
    _run_dir(tmp_path, student=student)
    _config(tmp_path, student=TIMM)
    out = export_student(tmp_path)
    plain = TimmClassifier('mobilenetv3_small_050', num_classes=3)
    plain.load_state_dict(torch.load(out, weights_only=True)['state_dict'])
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(plain.eval()(images), student.eval()(images))


def test_file_holds_plain_values_only(tmp_path):
    path = tmp_path / 'student.pth'
    meta = dict(
        epoch=3,
        iter=np.int64(7),
        seed=None,
        cfg='teacher = 1',
        dataset_meta=dict(classes=('a', 'b'), palette=object()),
    )
    save_student(_classifier().state_dict(), path, meta)
    # In a process without this package's allow-list.
    code = (
        'import sys, torch\n'
        'c = torch.load(sys.argv[1], weights_only=True)\n'
        "assert 'mmengine' not in sys.modules\n"
        "print(sorted(c), c['meta'])"
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (
        "['meta', 'state_dict'] {'epoch': 3, 'iter': 7, 'seed': None, "
        "'dataset_meta': {'classes': ['a', 'b']}}"
    )


def test_view_does_not_take_its_storage_along(tmp_path):
    path = tmp_path / 'a.pth'
    save_student({'w': torch.zeros(1_000_000)[:1]}, path)
    assert path.stat().st_size < 10_000


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'student.pth'
    save_student({'w': torch.zeros(2)}, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match='object'):
        save_student({}, path, dict(seed=object()))
    with pytest.raises(UserError, match='a.pth'):
        save_student({}, tmp_path / 'no' / 'a.pth')

    def full_disk(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(UserError, match='No space left'):
        save_student({'w': torch.ones(2)}, path)
    assert [file.name for file in tmp_path.iterdir()] == ['student.pth']
    assert path.read_bytes() == before


def test_newest_checkpoint_is_taken(tmp_path):
    student = _run_dir(tmp_path, epochs=(2, 10))
    # As a copy of the folder may have it.
    os.utime(tmp_path / 'epoch_10.pth', (1000, 1000))
    out = export_student(tmp_path)
    assert out == tmp_path / 'student.pth'
    content = torch.load(out, weights_only=True)
    assert _same(content['state_dict'], student.state_dict())
    assert content['meta']['epoch'] == 10
    assert content['meta']['dataset_meta'] == dict(classes=['a', 'b', 'c'])
    assert 'cfg' not in content['meta']


def test_newest_checkpoint_is_whole_or_another_is_named(tmp_path):
    _run_dir(tmp_path, epochs=(9, 10))
    (tmp_path / 'epoch_10.pth').write_bytes(b'PK cut off')
    with pytest.raises(UserError, match='epoch_10.pth'):
        export_student(tmp_path)
    assert not (tmp_path / 'student.pth').exists()
    out = export_student(tmp_path, checkpoint=tmp_path / 'epoch_9.pth')
    assert torch.load(out, weights_only=True)['meta']['epoch'] == 9


@pytest.mark.parametrize('known', ['student.pth', 'results.json'])
def test_later_student_is_not_replaced(tmp_path, known):
    _run_dir(tmp_path, epochs=(9, 10))
    export_student(tmp_path)
    if known == 'results.json':
        (tmp_path / 'student.pth').write_bytes(b'torn')
        (tmp_path / known).write_text('{"epochs": 10}')
    before = (tmp_path / 'student.pth').read_bytes()
    (tmp_path / 'epoch_10.pth').unlink()
    for named in (None, tmp_path / 'epoch_9.pth'):
        with pytest.raises(UserError, match='epoch 10.*epoch 9.*--out'):
            export_student(tmp_path, checkpoint=named)
    assert (tmp_path / 'student.pth').read_bytes() == before
    out = export_student(tmp_path, tmp_path / 'student.pth')
    assert torch.load(out, weights_only=True)['meta']['epoch'] == 9


def test_checkpoint_and_out_can_be_named(tmp_path):
    _run_dir(tmp_path, epochs=(1, 2))
    out = export_student(
        tmp_path, tmp_path / 'a.pth', tmp_path / 'epoch_1.pth'
    )
    assert out == tmp_path / 'a.pth'
    assert torch.load(out, weights_only=True)['meta']['epoch'] == 1


def _flip(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for place in range(middle, middle + 1024):
        content[place] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    'damage, named',
    [
        (lambda path: path.write_bytes(b''), 'epoch_1.pth'),
        (lambda path: path.write_bytes(b'no checkpoint'), 'epoch_1.pth'),
        (_flip, 'epoch_1.pth'),
        (lambda path: torch.save([1], path), 'epoch_1.pth'),
        (lambda path: torch.save(dict(epoch=3), path), "'epoch'"),
        (lambda path: torch.save(dict(state_dict={}), path), 'state_dict'),
        (lambda path: path.unlink(), "'epoch_1.pth', got none"),
        (lambda path: (path.parent / 'config.py').unlink(), 'config'),
        (lambda path: path.parent.rename(f'{path.parent}_'), 'directory'),
    ],
)
def test_incomplete_run_is_refused(tmp_path, damage, named):
    run = tmp_path / 'run'
    run.mkdir()
    _run_dir(run)
    damage(run / 'epoch_1.pth')
    with pytest.raises(UserError, match=named):
        export_student(run)
    assert not list(tmp_path.glob('*/student.pth'))


def test_load_student_builds_what_was_trained(tmp_path):
    trained = _run_dir(tmp_path)
    student = load_student(tmp_path)
    assert not student.model.training
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(student.model(images), trained.eval()(images))


def test_plain_config_downloads_nothing(tmp_path):
    student = TimmClassifier('mobilenetv3_small_050', num_classes=3)
    save_student(student.state_dict(), tmp_path / 'student.pth')
    Config(dict(model=dict(TIMM, pretrained=True))).dump(tmp_path / 'c.py')
    built = load_student(tmp_path, tmp_path / 'student.pth').model
    assert _same(built.state_dict(), student.state_dict())


def test_config_is_that_which_the_checkpoint_quotes(tmp_path):
    """A later file, of whatever time, may be of another run."""
    _run_dir(tmp_path)
    path = tmp_path / 'epoch_1.pth'
    content = load_checkpoint(path)
    content['meta']['cfg'] = (tmp_path / 'config.py').read_text()
    torch.save(content, path)
    Config(dict(model=TIMM)).dump(tmp_path / 'later.py')
    os.utime(tmp_path / 'config.py', (0, 0))
    export_student(tmp_path)


@pytest.mark.parametrize(
    'prefix',
    [
        'module.',
        'model.',
        '_orig_mod.',
        'module.student.',
        'student.module.',
        'model._orig_mod.student.',
    ],
)
def test_wrapped_student_is_unwrapped(tmp_path, prefix):
    wanted = _run_dir(tmp_path).state_dict()
    path = tmp_path / 'a.pth'
    wrapped = {prefix + key: value for key, value in wanted.items()}
    # An average's counter, and what else a distiller holds.
    wrapped.update(steps=torch.tensor(3))
    if 'student' in prefix:
        outer = prefix.split('student')[0]
        wrapped[f'{outer}projection.weight'] = torch.zeros(2, 2)
    torch.save(dict(state_dict=wrapped), path)
    out = export_student(tmp_path, tmp_path / 'b.pth', path)
    assert _same(load_checkpoint(out)['state_dict'], wanted)


@pytest.mark.parametrize(
    'edit, named',
    [
        # A prefix that nobody knows.
        (lambda w: {f'teacher.{k}': v for k, v in w.items()}, 'teacher.'),
        (lambda w: {f'module.x.{k}': v for k, v in w.items()}, 'module.x.'),
        # One key more, one less, one of another shape.
        (lambda w: {**w, 'neck.new': torch.zeros(1)}, 'neck.new'),
        (
            lambda w: {k: v for k, v in w.items() if k != 'head.fc.bias'},
            'head.fc.bias',
        ),
        (
            lambda w: {**w, 'head.fc.weight': torch.zeros(7, 288)},
            r'head.fc.weight: .*\(7, 288',
        ),
        (
            lambda w: {
                f'module.student.{k}': v
                for k, v in w.items()
                if k != 'head.fc.bias'
            },
            'module.student.',
        ),
    ],
)
def test_other_keys_than_the_student_s_are_refused(tmp_path, edit, named):
    wanted = _run_dir(tmp_path).state_dict()
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=edit(wanted)), path)
    with pytest.raises(UserError, match=rf'a.pth: .*{named}'):
        export_student(tmp_path, checkpoint=path)
    assert not (tmp_path / 'student.pth').exists()


def test_mmpretrain_names_the_classes(tmp_path):
    _run_dir(tmp_path)
    path = export_student(tmp_path)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(32, 32)),
        dict(type='PackInputs'),
    ]
    config = Config(
        dict(
            model=STUDENT,
            data_preprocessor=dict(mean=[0.0] * 3, std=[255.0] * 3),
            test_dataloader=dict(
                dataset=dict(type='CustomDataset', pipeline=pipeline)
            ),
        )
    )
    inferencer = ImageClassificationInferencer(
        config, pretrained=str(path), device='cpu'
    )
    image = np.random.RandomState(0).randint(0, 255, (40, 60, 3), np.uint8)
    (result,) = inferencer(image)
    assert result['pred_class'] == 'abc'[result['pred_label']]
