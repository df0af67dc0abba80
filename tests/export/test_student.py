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
from mmpretrain.models import TimmClassifier
from mmpretrain.registry import MODELS

from mmkd_custom import export
from mmkd_custom.compat import keep_nested_state_dict
from mmkd_custom.errors import UserError
from mmkd_custom.export import (
    build_student,
    export_student,
    save_student,
    student_state_dict,
)

STUDENT = dict(
    type='ImageClassifier',
    backbone=dict(type='MobileNetV3', arch='small_050'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=288),
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


def _config(tmp_path, **others):
    model = dict(type='CustomKD', student=STUDENT, teacher=dict(type='None'))
    Config(dict(model=model, **others)).dump(tmp_path / 'config.py')


def _same(a, b):
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_prefix_is_stripped_and_the_rest_left_out():
    distiller = _Distiller(_classifier())
    wanted = distiller.student.state_dict()
    assert _same(student_state_dict(distiller.state_dict()), wanted)
    assert _same(
        student_state_dict(dict(state_dict=distiller.state_dict())), wanted
    )


def test_plain_classifier_is_left_as_it_is():
    wanted = _classifier().state_dict()
    assert _same(student_state_dict(wanted), wanted)
    assert isinstance(student_state_dict(wanted), OrderedDict)


def test_timm_student_round_trip(tmp_path):
    student = TimmClassifier('mobilenetv3_small_050', num_classes=3)
    _run_dir(tmp_path, student=student)
    out = export_student(tmp_path)
    plain = TimmClassifier('mobilenetv3_small_050', num_classes=3)
    plain.load_state_dict(torch.load(out, weights_only=True)['state_dict'])
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(plain.eval()(images), student.eval()(images))


def test_file_holds_plain_values_only(tmp_path):
    path = tmp_path / 'student.pth'
    meta = dict(
        epoch=3,
        seed=np.int64(7),
        best=np.float64(0.5),
        classes=('a', 'b'),
        mean=np.arange(2),
        none=None,
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
        "['meta', 'state_dict'] {'epoch': 3, 'seed': 7, 'best': 0.5, "
        "'classes': ['a', 'b'], 'mean': [0, 1], 'none': None}"
    )


def test_view_does_not_take_its_storage_along(tmp_path):
    path = tmp_path / 'a.pth'
    save_student({'w': torch.zeros(1_000_000)[:1]}, path)
    assert path.stat().st_size < 10_000


def test_meta_that_is_not_plain(tmp_path):
    with pytest.raises(TypeError, match='holds a object'):
        save_student({}, tmp_path / 'a.pth', dict(x=object()))
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'student.pth'
    save_student({'w': torch.zeros(2)}, path)

    def full_disk(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(UserError, match='No space left'):
        save_student({'w': torch.ones(2)}, path)
    assert [file.name for file in tmp_path.iterdir()] == ['student.pth']
    kept = torch.load(path, weights_only=True)['state_dict']['w']
    assert torch.equal(kept, torch.zeros(2))


def test_folder_that_is_missing(tmp_path):
    with pytest.raises(UserError, match='No such file'):
        save_student({}, tmp_path / 'no' / 'a.pth')


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
    with pytest.raises(UserError, match='epoch_10.pth: not a complete'):
        export_student(tmp_path)
    assert not (tmp_path / 'student.pth').exists()
    out = export_student(tmp_path, checkpoint=tmp_path / 'epoch_9.pth')
    assert torch.load(out, weights_only=True)['meta']['epoch'] == 9


@pytest.mark.parametrize('known', ['student.pth', 'results.json'])
def test_a_later_student_is_not_replaced(tmp_path, known):
    _run_dir(tmp_path, epochs=(9, 10))
    export_student(tmp_path)
    if known == 'results.json':
        (tmp_path / 'student.pth').write_bytes(b'torn')
        (tmp_path / known).write_text('{"epochs": 10}')
    before = (tmp_path / 'student.pth').read_bytes()
    (tmp_path / 'epoch_10.pth').unlink()
    for named in (None, tmp_path / 'epoch_9.pth'):
        with pytest.raises(UserError, match='of epoch 9.*of epoch 10.*--out'):
            export_student(tmp_path, checkpoint=named)
    assert (tmp_path / 'student.pth').read_bytes() == before
    out = export_student(tmp_path, tmp_path / 'student.pth')
    assert torch.load(out, weights_only=True)['meta']['epoch'] == 9


def test_flipped_bytes_are_found(tmp_path):
    _run_dir(tmp_path)
    path = tmp_path / 'epoch_1.pth'
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for place in range(middle, middle + 1024):
        content[place] ^= 0xFF
    path.write_bytes(content)
    for named in (None, path):
        with pytest.raises(UserError, match='epoch_1.pth.*damaged'):
            export_student(tmp_path, checkpoint=named)
    assert not (tmp_path / 'student.pth').exists()


def test_checkpoint_and_out_can_be_named(tmp_path):
    _run_dir(tmp_path, epochs=(1, 2))
    out = export_student(
        tmp_path, tmp_path / 'a.pth', tmp_path / 'epoch_1.pth'
    )
    assert out == tmp_path / 'a.pth'
    assert torch.load(out, weights_only=True)['meta']['epoch'] == 1


def test_missing_work_dir(tmp_path):
    with pytest.raises(UserError, match='there is no such folder'):
        export_student(tmp_path / 'no')


def test_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match='no complete checkpoint'):
        export_student(tmp_path)


@pytest.mark.parametrize('content', [b'', b'not a checkpoint'])
def test_unreadable_checkpoint(tmp_path, content):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(content)
    with pytest.raises(UserError, match='epoch_1.pth'):
        export_student(tmp_path, checkpoint=path)
    assert [file.name for file in tmp_path.iterdir()] == ['epoch_1.pth']


@pytest.mark.parametrize(
    'content', [[1], {}, dict(epoch=3), dict(state_dict={})]
)
def test_checkpoint_without_weights(tmp_path, content):
    torch.save(content, tmp_path / 'epoch_1.pth')
    with pytest.raises(UserError, match='epoch_1.pth'):
        export_student(tmp_path)
    assert not (tmp_path / 'student.pth').exists()


def test_build_student_from_the_config_snapshot(tmp_path):
    trained = _run_dir(tmp_path)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(80, 80)),
        dict(type='CenterCrop', crop_size=64),
        dict(type='PackInputs'),
    ]
    _config(tmp_path, test_dataloader=dict(dataset=dict(pipeline=pipeline)))
    student, size = build_student(tmp_path, export_student(tmp_path))
    assert size == 64 and not student.training
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(student(images), trained.eval()(images))


def test_plain_config_downloads_nothing(tmp_path):
    student = TimmClassifier('mobilenetv3_small_050', num_classes=3)
    save_student(student.state_dict(), tmp_path / 'student.pth')
    model = dict(
        type='mmpretrain.TimmClassifier',
        model_name='mobilenetv3_small_050',
        num_classes=3,
        pretrained=True,
    )
    Config(dict(model=model)).dump(tmp_path / 'c.py')
    built, size = build_student(tmp_path, tmp_path / 'student.pth')
    assert size is None
    assert _same(built.state_dict(), student.state_dict())


def test_build_student_without_a_config(tmp_path):
    _run_dir(tmp_path)
    with pytest.raises(UserError, match='holds no config'):
        build_student(tmp_path, export_student(tmp_path))


def test_weights_of_another_student(tmp_path):
    _config(tmp_path)
    state_dict = _classifier().state_dict()
    state_dict['head.fc.weight'] = torch.zeros(7, 288)
    save_student(state_dict, tmp_path / 'student.pth')
    with pytest.raises(UserError, match=r'head.fc.weight has shape \(7, 288'):
        build_student(tmp_path, tmp_path / 'student.pth')


def test_public_names():
    assert all(hasattr(export, name) for name in export.__all__)


@pytest.mark.parametrize('first', ['export', 'engine'])
def test_export_and_engine_import_in_either_order(first, repo):
    """The engine's hooks import this module, which uses the engine."""
    subprocess.run(
        [sys.executable, '-c', f'import mmkd_custom.{first}'],
        cwd=repo,
        check=True,
        capture_output=True,
    )
