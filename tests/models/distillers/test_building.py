"""What a distiller is made of."""

import copy

import pytest
import torch
from mmpretrain.models import build_classifier
from mmpretrain.models.utils import ClsDataPreprocessor

from mmkd_custom.errors import UserError
from mmkd_custom.models import DistillDataPreprocessor
from mmkd_custom.models.distillers.building import (
    build_preprocessor,
    build_student,
    build_teachers,
)
from tests.helpers import student_config, teacher_config


def test_a_students_own_preprocessor_is_left_out():
    cfg = dict(student_config(), data_preprocessor=dict(mean=[1.0] * 3))
    cfg['data_preprocessor']['std'] = [1.0] * 3
    student = build_student(cfg)
    assert not getattr(student.data_preprocessor, '_enable_normalize', False)
    assert 'data_preprocessor' in cfg


MIXUP = dict(augments=[dict(type='Mixup', alpha=0.2)], probs=[0.5])


@pytest.mark.parametrize('built', [False, True])
@pytest.mark.parametrize('place', ['train_cfg', 'data_preprocessor'])
def test_the_students_batch_augmentations_are_taken_over(built, place):
    extra = MIXUP if place == 'train_cfg' else dict(batch_augments=MIXUP)
    student = dict(student_config(), **{place: copy.deepcopy(extra)})
    if built:
        student = build_classifier(student)
    found = build_preprocessor(dict(num_classes=5), student)
    assert found.batch_augments.augments[0].alpha == 0.2
    assert found.batch_augments.probs == [0.5, 0.5] and found.to_onehot
    if not built:
        assert student[place] == extra
        assert build_student(student).data_preprocessor.batch_augments is None
    # What the distiller says itself counts.
    own = dict(augments=dict(type='CutMix', alpha=1.0))
    found = build_preprocessor(
        dict(num_classes=5, batch_augments=own), student
    )
    assert type(found.batch_augments.augments[0]).__name__ == 'CutMix'
    # Another preprocessor mixes nothing.
    with pytest.raises(UserError, match='train_cfg.augments'):
        build_preprocessor(dict(type='mmengine.ImgDataPreprocessor'), student)


def test_the_students_preprocessor_is_taken_where_there_is_no_other():
    own = dict(mean=[1.0] * 3, std=[2.0] * 3)
    student = dict(student_config(), data_preprocessor=own)
    assert build_preprocessor(None, student).mean.flatten()[0] == 1
    given = dict(mean=[3.0] * 3, std=[2.0] * 3)
    assert build_preprocessor(given, student).mean.flatten()[0] == 3


def test_a_built_student_is_taken_as_it_is():
    student = build_classifier(student_config())
    assert build_student(student) is student


@pytest.mark.parametrize(
    'cfg',
    [
        None,
        dict(),
        dict(type='ClsDataPreprocessor', num_classes=5),
        dict(type='mmpretrain.ClsDataPreprocessor', num_classes=5),
        dict(type=ClsDataPreprocessor, num_classes=5),
    ],
)
def test_mmpretrains_preprocessor_becomes_ours(cfg):
    built = build_preprocessor(cfg)
    assert type(built) is DistillDataPreprocessor
    assert built.num_classes == (cfg or {}).get('num_classes')


def test_any_other_preprocessor_is_kept():
    built = DistillDataPreprocessor()
    assert build_preprocessor(built) is built
    with pytest.raises(UserError, match='built ClsDataPreprocessor'):
        build_preprocessor(ClsDataPreprocessor())
    other = build_preprocessor(dict(type='mmengine.ImgDataPreprocessor'))
    assert type(other).__name__ == 'ImgDataPreprocessor'


def test_teachers_by_name():
    assert list(build_teachers(teacher_config(), None)) == ['teacher']
    two = build_teachers(None, dict(a=teacher_config(), b=teacher_config()))
    assert list(two) == ['a', 'b']
    assert build_teachers(None, None) == {}


@pytest.mark.parametrize(
    'teacher, teachers, named',
    [
        (teacher_config(), dict(clip=teacher_config()), 'teachers'),
        (torch.nn.Linear(2, 2), None, 'Linear'),
        (None, dict(student=teacher_config()), 'student'),
        (None, {'a.b': teacher_config()}, 'a.b'),
    ],
)
def test_wrong_teachers(teacher, teachers, named):
    with pytest.raises(UserError, match=named):
        build_teachers(teacher, teachers)
