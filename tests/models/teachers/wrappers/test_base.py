"""Tests of what teachers made of other teachers share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.wrappers.base import (
    build_wrapped,
    check_classes,
    feature_name,
)

CONFIG = dict(type='TimmTeacher', model_name='test_vit', input_size=32)


def test_options_of_execution_take_the_place_of_its_own():
    config = dict(CONFIG, max_batch=3, dtype='bfloat16')
    teacher = build_wrapped(config, 'teacher', dict(max_batch=7, dtype=None))
    assert teacher.max_batch == 7 and teacher.dtype == torch.bfloat16
    assert config['max_batch'] == 3


def test_teacher_that_is_built():
    teacher = TimmTeacher('test_vit', input_size=32)
    assert build_wrapped(teacher, 'teacher', dict(dtype=None)) is teacher
    with pytest.raises(UserError, match='max_batch given for a teacher that'):
        build_wrapped(teacher, 'teacher', dict(max_batch=7))


def test_no_teacher():
    with pytest.raises(UserError, match=r'teachers\[1\]: ReLU is no Frozen'):
        build_wrapped(dict(type='ReLU'), 'teachers[1]', {})


@pytest.mark.parametrize(
    'attributes, name',
    [
        (dict(feature='cls'), 'cls'),
        (dict(feature_name='projected'), 'projected'),
        (dict(feature=torch.zeros(1)), 'feature'),
    ],
)
def test_name_of_the_feature(attributes, name):
    assert feature_name(SimpleNamespace(**attributes)) == name


def test_classes_of_a_dataset():
    teacher = SimpleNamespace(name='t', classes=('cat', 'dog', 'owl'))
    check_classes(teacher, ['cat', 'dog', 'owl'])
    check_classes(teacher, None)
    check_classes(SimpleNamespace(name='t'), ['a'])
    for names, words in (
        (
            ['cat', 'owl', 'dog'],
            "class 1 is 'dog' in teacher t and 'owl'",
        ),
        (['cat', 'dog'], "class 'owl' is in teacher t only"),
    ):
        with pytest.raises(UserError, match=words):
            check_classes(teacher, names)
