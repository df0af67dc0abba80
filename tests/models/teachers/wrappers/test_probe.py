"""Tests of the probe's file and of its normalisations."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.wrappers.probe import Probe, normalize


def make(normalization: str = 'none', **options) -> Probe:
    statistics = normalization == 'standardize'
    fields = dict(
        weight=torch.randn(3, 4),
        bias=torch.randn(3),
        mean=torch.randn(4) if statistics else None,
        std=torch.rand(4) + 1 if statistics else None,
        normalization=normalization,
        classes=['cat', 'dog', 'owl'],
        teacher='test_vit',
        teacher_sha256='ab' * 32,
        feature='cls',
        input='32x32 bicubic',
        c=0.1,
        accuracy=87.5,
        split_sha256='cd' * 32,
        seed=3,
    )
    return Probe(**{**fields, **options})


@pytest.mark.parametrize('normalization', ['none', 'l2', 'standardize'])
def test_comes_back_as_it_went(tmp_path, normalization):
    probe = make(normalization)
    probe.save(tmp_path / 'probe.safetensors')
    found = dataclasses.asdict(Probe.load(tmp_path / 'probe.safetensors'))
    for name, value in dataclasses.asdict(probe).items():
        if torch.is_tensor(value):
            assert torch.equal(found[name], value)
        else:
            assert found[name] == value


def test_same_probe_gives_the_same_bytes(tmp_path):
    probe = make('standardize')
    for name in 'ab':
        probe.save(tmp_path / name)
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()
    with safe_open(str(tmp_path / 'a'), 'pt') as file:
        # Several keys would be written in no fixed order.
        assert len(file.metadata()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a', 'b']


def test_normalisations():
    feature = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    assert torch.equal(normalize(feature, 'none'), feature)
    assert torch.allclose(
        normalize(feature, 'l2'), torch.tensor([[0.6, 0.8], [0.0, -1.0]])
    )
    found = normalize(
        feature, 'standardize', torch.tensor([1.0, 2]), torch.tensor([2.0, 4])
    )
    assert torch.equal(found, torch.tensor([[1.0, 0.5], [-0.5, -1.0]]))
    with pytest.raises(UserError, match="'zca' is not one of none, l2, st"):
        normalize(feature, 'zca')


def test_file_that_is_missing(tmp_path):
    with pytest.raises(UserError, match='no file.*nowhere.*probe_teacher.py'):
        Probe.load(tmp_path / 'nowhere.safetensors')


def test_file_of_something_else(tmp_path):
    save_file(dict(weight=torch.zeros(2)), str(tmp_path / 'a.safetensors'))
    with pytest.raises(UserError, match="holds tensors such as 'weight'"):
        Probe.load(tmp_path / 'a.safetensors')
    (tmp_path / 'b.safetensors').write_bytes(b'nonsense')
    with pytest.raises(UserError, match='no readable .safetensors file'):
        Probe.load(tmp_path / 'b.safetensors')


def test_tensors_that_are_not_those_of_the_metadata(tmp_path):
    make(bias=torch.zeros(2)).save(tmp_path / 'a')
    with pytest.raises(UserError, match=r"'bias': \(2,\).*'bias': \(3,\)"):
        Probe.load(tmp_path / 'a')
    make('standardize', std=None).save(tmp_path / 'b')
    with pytest.raises(UserError, match=r"wants.*'std': \(4,\)"):
        Probe.load(tmp_path / 'b')


def test_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='probe .*cannot be written'):
        make().save(tmp_path / 'file' / 'probe.safetensors')
