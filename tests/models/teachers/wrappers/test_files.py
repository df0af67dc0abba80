"""What was fitted to one teacher is not used with another."""

from types import SimpleNamespace

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.wrappers.files import (
    check_fitted,
    read_fitted,
    write_fitted,
)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / 'new folder' / 'a.safetensors'
    facts = dict(b=1, a=[2, 'x'])
    tensors = dict(w=torch.rand(2, 3))
    write_fitted('thing', path, facts, tensors)
    found, read = read_fitted('thing', path, 'a tool')
    assert found == facts
    assert read.keys() == {'w'} and torch.equal(read['w'], tensors['w'])
    first = path.read_bytes()
    write_fitted('thing', path, dict(a=[2, 'x'], b=1), tensors)
    assert path.read_bytes() == first
    with pytest.raises(UserError, match='other .*holds mmkd_custom.thing'):
        read_fitted('other', path, 'a tool')


FITTED = dict(
    classes=['cat', 'dog'],
    teacher='net',
    teacher_sha256='0' * 64,
    feature='cls',
    input=None,
)


@pytest.mark.parametrize(
    'change, width, num_classes, words',
    [
        ({}, 5, None, 'width 5 of net, but that of now has width 4'),
        ({}, 4, 3, '2 classes, but num_classes=3; .* with a tool'),
        (dict(feature='pooled'), 4, 2, "'pooled' of net, but now gives 'cls'"),
        (dict(teacher_sha256='1' * 64), 4, 2, '1{12}.*0{12}'),
    ],
)
def test_each_difference_is_one_sentence(change, width, num_classes, words):
    teacher = SimpleNamespace(
        name='now', feature='cls', feature_dim=4, digest=lambda: '0' * 64
    )
    fitted = SimpleNamespace(**FITTED)
    check_fitted('file', fitted, 4, teacher, 2, 'a tool')
    check_fitted('file', fitted, 4, teacher, None, 'a tool')
    fitted = SimpleNamespace(**{**FITTED, **change})
    with pytest.raises(UserError, match=words):
        check_fitted('file', fitted, width, teacher, num_classes, 'a tool')
