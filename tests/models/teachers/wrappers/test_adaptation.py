"""The small file that an adaptation is, and how it changes weights."""

import pytest
import torch
import torch.nn as nn
from safetensors import safe_open
from safetensors.torch import save_file

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.wrappers.adaptation import (
    Adaptation,
    lora_keys,
    norm_key,
)


def adaptation(**changes):
    tensors = {
        'head.weight': torch.randn(3, 4),
        'head.bias': torch.randn(3),
        norm_key('0.weight'): torch.randn(4),
    }
    facts = dict(
        mode='norm',
        teacher='tiny',
        teacher_sha256='ab' * 32,
        classes=['cat', 'dög', 'owl'],
        accuracy=91.25,
        split_sha256='cd' * 32,
        seed=7,
    )
    return Adaptation(tensors=tensors, **{**facts, **changes})


def test_a_file_gives_back_what_was_stored(tmp_path):
    path = tmp_path / 'new' / 'a.safetensors'
    stored = adaptation(mode='lora', rank=2, alpha=0.5, accuracy=None)
    stored.save(path)
    loaded = Adaptation.load(path)
    assert loaded.tensors.keys() == stored.tensors.keys()
    for name, tensor in stored.tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)
    del loaded.tensors, stored.tensors
    assert vars(loaded) == vars(stored)
    assert [p.name for p in path.parent.iterdir()] == ['a.safetensors']


def test_same_adaptation_gives_the_same_bytes(tmp_path):
    stored = adaptation()
    for name in 'ab':
        stored.save(tmp_path / name)
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()
    with safe_open(str(tmp_path / 'a'), 'pt') as file:
        # Several keys would be written in no fixed order.
        assert len(file.metadata()) == 1


def test_norm_replaces_and_changes_nothing_else():
    model = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    stored = adaptation()
    stored.apply_to(model)
    value = stored.tensors[norm_key('0.weight')]
    assert torch.equal(model[0].weight, value)
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
    'model, words',
    [
        (nn.Sequential(nn.LayerNorm(5)), r'0\.weight .*\(4,\).*\(5,\)'),
        (nn.Identity(), r'0\.weight .*\(4,\).*none'),
    ],
)
def test_a_network_that_does_not_fit_is_refused(model, words):
    with pytest.raises(UserError, match=words):
        adaptation().apply_to(model)


def test_the_summary_says_what_changed():
    text = adaptation().summary()
    assert text == (
        'norm of tiny, 4 parameters and a head of 3 classes, 91.25 % top-1 '
        'on the images held out'
    )
    text = adaptation(mode='lora', rank=2, accuracy=None).summary()
    assert 'lora of rank 2' in text and 'no image held out' in text


def test_what_is_no_adaptation_is_refused(tmp_path):
    path = tmp_path / 'a.safetensors'
    with pytest.raises(UserError, match='there is no file.*adapt_teacher'):
        Adaptation.load(path)
    path.write_bytes(b'nonsense')
    with pytest.raises(UserError, match='no readable'):
        Adaptation.load(path)
    save_file({'weight': torch.zeros(2)}, path, {'mmkd_custom.probe': '{}'})
    with pytest.raises(UserError, match='holds mmkd_custom.probe, but'):
        Adaptation.load(path)
    save_file({'weight': torch.zeros(2)}, path)
    with pytest.raises(UserError, match="tensors such as 'weight'"):
        Adaptation.load(path)
    adaptation().save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match='no readable'):
        Adaptation.load(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='cannot be written'):
        adaptation().save(tmp_path / 'file' / 'a.safetensors')
