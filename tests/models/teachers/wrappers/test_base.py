"""Tests of what teachers made of other teachers share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.wrappers.base import (
    WrappedTeacher,
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
    assert build_wrapped(teacher, 'teacher', dict(dtype=None)) is teacher


@pytest.mark.parametrize(
    'teacher, execution, named',
    [
        (TimmTeacher('test_vit', input_size=32), dict(max_batch=7), 'max_bat'),
        (dict(type='ReLU'), {}, 'ReLU'),
    ],
)
def test_what_is_no_config_of_a_teacher(teacher, execution, named):
    with pytest.raises(UserError) as error:
        build_wrapped(teacher, 'teachers[1]', execution)
    assert 'teachers[1]' in str(error.value) and named in str(error.value)


def test_wrapped_teacher_is_the_other():
    inner = TimmTeacher('test_vit', input_size=32, max_batch=2)
    inner.classes = ('cat', 'dog')
    teacher = WrappedTeacher(WrappedTeacher(inner))
    for name in (
        *('mean', 'std', 'input_size', 'feature_dim', 'num_classes', 'offers'),
        *('dims', 'shapes', 'classes', 'name', 'weights', 'max_batch'),
    ):
        assert getattr(teacher, name) == getattr(inner, name), name
    assert teacher.preparation is inner.preparation
    assert feature_name(teacher) == feature_name(inner) == 'pooled'
    images = torch.rand(3, 3, 40, 40) * 255
    found, wanted = (
        t(t.prepare(images), t.offers).named_tensors()
        for t in (teacher, inner)
    )
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    'feature, name', [('cls', 'cls'), (torch.zeros(1), 'feature')]
)
def test_name_of_the_feature(feature, name):
    assert feature_name(SimpleNamespace(feature=feature)) == name


@pytest.mark.parametrize(
    'own, own_words, refused',
    [
        (('cat', 'polar_bear', 'owl'), False, None),
        (('cat', 'owl', 'polar_bear'), False, "class 1 is 'owl'"),
        (('cat', 'polar_bear'), False, "'owl'"),
        (None, False, None),
        # Prompts may name a class otherwise, but in this order.
        (('Cat', 'polar bear', 'barn owl'), True, None),
        (('owl', 'white bear', 'Cat'), True, "class 0 is 'owl'"),
    ],
)
def test_classes_of_a_dataset(own, own_words, refused):
    names = ['cat', 'polar_bear', 'owl']
    teacher = SimpleNamespace(name='t', classes=own, own_words=own_words)
    check_classes(teacher, None)
    if refused is None:
        return check_classes(teacher, names)
    with pytest.raises(UserError) as error:
        check_classes(teacher, names)
    assert refused in str(error.value)
