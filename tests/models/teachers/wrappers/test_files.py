"""Tests of the files of probes and adaptations, and whether they fit."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn as nn
from safetensors import safe_open
from safetensors.torch import save_file

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.base import FrozenTeacher
from mmkd_custom.models.teachers.wrappers.adapted import Adaptation, lora_keys
from mmkd_custom.models.teachers.wrappers.probed import Probe, normalize

FACTS = dict(
    teacher='tiny',
    teacher_sha256='ab' * 32,
    classes=['cat', 'dög', 'owl'],
    feature='cls',
    input='32x32 bicubic',
    accuracy=91.25,
    split_sha256='cd' * 32,
    seed=7,
)


def probe(**changes) -> Probe:
    tensors = dict(weight=torch.randn(3, 4), bias=torch.randn(3))
    facts = dict(FACTS, normalization='l2', c=0.1)
    return Probe(tensors, **{**facts, **changes})


def adaptation(**changes) -> Adaptation:
    tensors = {
        'head.weight': torch.randn(3, 4),
        'head.bias': torch.randn(3),
        'norm/0.weight': torch.randn(4),
    }
    facts = dict(FACTS, mode='lora', rank=2, alpha=0.5)
    return Adaptation(tensors, **{**facts, **changes})


@pytest.mark.parametrize('make', [probe, adaptation])
def test_file_round_trip_and_same_bytes(make, tmp_path):
    stored = make(accuracy=None)
    for name in 'ab':
        stored.save(tmp_path / 'new' / name)
    path = tmp_path / 'new' / 'a'
    assert path.read_bytes() == (tmp_path / 'new' / 'b').read_bytes()
    assert sorted(p.name for p in path.parent.iterdir()) == ['a', 'b']
    with safe_open(str(path), 'pt') as file:
        # Several keys would be written in no fixed order.
        assert len(file.metadata()) == 1
    loaded = type(stored).load(path)
    assert loaded.tensors.keys() == stored.tensors.keys()
    for name, tensor in stored.tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)
    assert loaded.facts() == stored.facts()


def test_files_of_before_are_read(tmp_path):
    for kind, extra, head in (
        (Probe, dict(normalization='none', c=1.0, feature_dim=4), 'weight'),
        (Adaptation, dict(mode='norm', rank=None, alpha=None), 'head.weight'),
    ):
        facts = json.dumps({**FACTS, **extra})
        path = str(tmp_path / kind.kind)
        key = f'mmkd_custom.{kind.kind}'
        save_file({head: torch.ones(3, 4)}, path, {key: facts})
        loaded = kind.load(path)
        assert loaded.facts() == {**FACTS, **extra}
        assert torch.equal(loaded.tensors[head], torch.ones(3, 4))


@pytest.mark.parametrize('kind', [Probe, Adaptation])
@pytest.mark.parametrize(
    'content, named',
    [
        (None, 'no such file'),
        (b'nonsense', '.safetensors'),
        (dict(), 'lone'),
        (dict(metadata={'mmkd_custom.x': '{}'}), 'mmkd_custom.x'),
    ],
)
def test_other_files_are_refused(kind, content, named, tmp_path):
    path = tmp_path / 'a'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save_file(dict(lone=torch.zeros(2)), path, **content)
    with pytest.raises(UserError) as error:
        kind.load(path)
    for text in (kind.kind, str(path), named):
        assert text in str(error.value)
    (tmp_path / 'file').touch()
    with pytest.raises(UserError) as error:
        dict(probe=probe, adaptation=adaptation)[kind.kind]().save(
            tmp_path / 'file' / 'a'
        )
    assert str(tmp_path / 'file' / 'a') in str(error.value)


class Tiny(FrozenTeacher):
    feature = 'cls'

    def __init__(self, width=4) -> None:
        super().__init__(mean=(0.0,) * 3, std=(1.0,) * 3, input_size=32)
        torch.manual_seed(0)
        self.body = nn.Linear(3, width)
        self.feature_dim = width
        self.name = 'tiny'


@pytest.mark.parametrize(
    'change, num_classes, named',
    [
        ({}, 5, ('num_classes=3', '5')),
        (dict(feature='pooled'), None, ("feature='pooled'", "'cls'")),
        (
            dict(tensors=dict(weight=torch.zeros(3, 6))),
            None,
            ('feature_dim=6', '4'),
        ),
        (dict(teacher_sha256='ab' * 32), None, ('abababababab', 'sha256')),
    ],
)
def test_another_teacher_is_refused_with_both_values(
    change, num_classes, named
):
    teacher = Tiny()
    stored = probe(teacher_sha256=teacher.digest())
    stored.check('file', teacher, 3)
    stored.check('file', teacher)
    for name, value in change.items():
        setattr(stored, name, value)
    with pytest.raises(UserError) as error:
        stored.check('file', teacher, num_classes)
    for text in ('file', *named):
        assert text in str(error.value)


@pytest.mark.parametrize(
    'change, said',
    [
        ({}, False),
        (dict(input='48x48'), True),
        # Such as with and without QuickGELU.
        (dict(teacher='other'), True),
        (dict(input=None, teacher='other'), False),
    ],
)
def test_other_images_or_name_are_a_warning(change, said, log_lines):
    from mmkd_custom.models.teachers.wrappers.base import input_summary

    teacher = Tiny()
    facts = dict(teacher_sha256=teacher.digest(), input=input_summary(teacher))
    probe(**{**facts, **change}).check('file', teacher)
    lines = [line for line in log_lines if 'was fitted to' in line]
    assert bool(lines) == said
    assert all(line.startswith('WARNING') for line in lines)


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
    with pytest.raises(UserError) as error:
        normalize(feature, 'zca')
    assert 'normalization' in str(error.value) and 'zca' in str(error.value)


def test_norm_replaces_and_changes_nothing_else():
    model = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    stored = adaptation(mode='norm')
    stored.apply_to(model)
    assert torch.equal(model[0].weight, stored.tensors['norm/0.weight'])
    for name in ('0.bias', '1.weight', '1.bias'):
        assert torch.equal(model.state_dict()[name], before[name])


def test_lora_adds_alpha_over_r_times_b_a():
    model = nn.Sequential(nn.Linear(4, 2))
    weight = model[0].weight.detach().double().clone()
    a, b = torch.randn(3, 4), torch.randn(2, 3)
    stored = adaptation(mode='lora', rank=3, alpha=6.0)
    stored.tensors = dict(zip(lora_keys('0.weight'), (a, b)))
    stored.apply_to(model)
    expected = weight + 6 / 3 * b.double() @ a.double()
    torch.testing.assert_close(model[0].weight.double(), expected)


@pytest.mark.parametrize(
    'model', [nn.Sequential(nn.LayerNorm(5)), nn.Identity()]
)
def test_adaptation_of_another_network_is_refused(model):
    with pytest.raises(UserError) as error:
        adaptation().apply_to(model)
    assert '0.weight' in str(error.value) and '(4,)' in str(error.value)


def test_summary_of_an_adaptation():
    text = adaptation(mode='norm', rank=None).summary()
    assert '4 parameters' in text and '3 classes' in text and '91.25' in text
    text = adaptation(accuracy=None).summary()
    assert 'lora of rank 2' in text and '91.25' not in text
