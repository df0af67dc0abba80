import ast
import copy
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import get_state_dict
from mmengine.runner.checkpoint import load_state_dict as mmengine_load
from mmpretrain.models import TimmClassifier

from mmkd_custom.errors import UserError
from mmkd_custom.utils import compat

GOOD = {
    'torch': '2.8.0+cu128',
    'mmengine': '0.10.7',
    'mmpretrain': '1.2.0',
    'timm': '1.0.9',
    'mmcv-lite': '2.2.0',
}


def _lookup(installed):
    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    return version


def _without(name, **others):
    versions = {**GOOD, **others}
    versions.pop(name, None)
    return _lookup(versions)


def _message(version):
    with pytest.raises(UserError) as caught:
        compat.check_versions(version)
    return str(caught.value)


def test_versions_that_fit():
    compat.check_versions(_lookup(GOOD))
    compat.check_versions(_without('mmcv-lite', mmcv='2.1.0'))
    compat.check_versions()


@pytest.mark.parametrize(
    'name, version',
    [
        ('torch', '2.5.1'),
        ('mmengine', '0.10.6'),
        ('mmengine', '1.0.0'),
        ('mmpretrain', '1.1.1'),
        ('timm', '0.9.16'),
        ('mmcv-lite', '2.4.0'),
    ],
)
def test_version_that_does_not_fit(name, version):
    message = _message(_lookup({**GOOD, name: version}))
    assert f'{name} {version} is installed' in message
    assert f"pip install '{name}>=" in message


@pytest.mark.parametrize('name', ['torch', 'mmengine', 'mmpretrain', 'timm'])
def test_missing_package(name):
    assert f"pip install '{name}>=" in _message(_without(name))


def test_neither_mmcv():
    assert "pip install 'mmcv-lite>=" in _message(_without('mmcv-lite'))


def test_both_mmcv():
    message = _message(_lookup({**GOOD, 'mmcv': '2.2.0'}))
    assert 'mmcv and mmcv-lite are both installed' in message


def test_setup_asks_for_the_same_versions(repo):
    tree = ast.parse((repo / 'setup.py').read_text())
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for name, supported in compat.SUPPORTED.items():
        assert name + supported in strings
    assert 'mmcv-lite' + compat.SUPPORTED_MMCV in strings


def test_import_is_light(repo):
    code = (
        'import sys, mmkd_custom\n'
        "heavy = {'timm', 'open_clip', 'mmpretrain', 'onnx'}\n"
        'print(sorted(heavy & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == '[]'


def _message_hub_state():
    hub = MessageHub.get_instance('test_compat')
    for step in range(3):
        hub.update_scalar('train/loss', 0.5 + step)
    hub.update_info('epoch', 3)
    hub.update_info('best', np.float64(0.75))
    hub.update_info('history', [dict(epoch=1, accuracy=50.0)])
    hub.update_info('rng', np.random.RandomState(0).get_state())
    return hub.state_dict()


def test_message_hub_can_be_read_back(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(message_hub=_message_hub_state()), path)
    state = torch.load(path, weights_only=True)['message_hub']
    log, count = state['log_scalars']['train/loss'].data
    np.testing.assert_array_equal(log, [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(count, [1, 1, 1])
    assert state['runtime_info']['best'] == 0.75
    assert state['runtime_info']['rng'][1].dtype == np.uint32


def test_fresh_process_reads_it_back(tmp_path, repo):
    """HistoryBuffer fills a class attribute on its first instance."""
    path = tmp_path / 'epoch_1.pth'
    torch.save(HistoryBuffer([2.0, 4.0], [1, 1]), path)
    code = (
        'import sys, torch, mmkd_custom\n'
        'print(torch.load(sys.argv[1], weights_only=True).mean())'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(path)],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == '3.0'


def test_weights_only_would_refuse_and_still_refuses_others(tmp_path):
    history, other = tmp_path / 'history.pth', tmp_path / 'other.pth'
    torch.save(HistoryBuffer([1.0], [1]), history)
    torch.save(_Other(), other)
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with pytest.raises(Exception, match='HistoryBuffer'):
            torch.load(history, weights_only=True)
    finally:
        torch.serialization.add_safe_globals(allowed)
    assert torch.load(history, weights_only=True).current() == 1.0
    with pytest.raises(Exception, match='_Other'):
        torch.load(other, weights_only=True)


@pytest.mark.parametrize('core', [b'numpy.core', b'numpy._core'])
def test_arrays_of_either_numpy_load(core, tmp_path):
    """numpy 2 moved numpy.core; a pickle names the one that wrote it."""
    path = tmp_path / 'a.pth'
    torch.save(np.arange(3.0), path, _use_new_zipfile_serialization=False)
    mine = b'numpy._core' if np.__version__ >= '2' else b'numpy.core'
    path.write_bytes(path.read_bytes().replace(mine, core))
    loaded = torch.load(path, weights_only=True)
    np.testing.assert_array_equal(loaded, [0.0, 1.0, 2.0])


def test_getattr_is_only_for_statistics(tmp_path):
    path = tmp_path / 'a.pth'
    # Pickles as getattr(HistoryBuffer, 'update').
    torch.save(HistoryBuffer.update, path)
    with pytest.raises(Exception, match='is not allowed'):
        torch.load(path, weights_only=True)


class _Other:
    pass


class _Wrapper(nn.Module):
    """Holds a classifier as a distiller holds its student."""

    def __init__(self, fixed):
        super().__init__()
        self.student = TimmClassifier('mobilenetv3_small_050', num_classes=3)
        if fixed:
            compat.keep_nested_state_dict(self)


def _timm_keys():
    plain = TimmClassifier('mobilenetv3_small_050', num_classes=3)
    return list(plain.state_dict())


def test_nested_timm_classifier_needs_the_fix():
    """Shows MMPretrain's fault; when it is mended, drop the workaround."""
    wrapper = _Wrapper(fixed=False)
    state_dict = wrapper.state_dict()
    assert all(key.startswith('student.model.') for key in state_dict)
    with pytest.raises(RuntimeError, match='student.model.model'):
        wrapper.load_state_dict(state_dict)


@pytest.mark.parametrize('get', [nn.Module.state_dict, get_state_dict])
def test_nested_timm_classifier_saves_the_keys_of_timm(get):
    wrapper = _Wrapper(fixed=True)
    wanted = _timm_keys()
    assert set(get(wrapper)) == {'student.' + key for key in wanted}
    assert set(get(nn.Sequential(copy.deepcopy(wrapper)))) == {
        '0.student.' + key for key in wanted
    }
    assert set(get(wrapper.student)) == set(wanted)


@pytest.mark.parametrize(
    'load',
    [
        lambda module, state: module.load_state_dict(state),
        lambda module, state: mmengine_load(module, state, strict=True),
    ],
)
def test_nested_timm_classifier_round_trip(load):
    first, second = _Wrapper(fixed=True), _Wrapper(fixed=True)
    compat.keep_nested_state_dict(second)
    load(second, first.state_dict())
    for (name, a), (_, b) in zip(
        first.named_parameters(), second.named_parameters()
    ):
        assert torch.equal(a, b), name
    plain = TimmClassifier('mobilenetv3_small_050', num_classes=3)
    load(
        plain,
        {
            key[len('student.') :]: value
            for key, value in first.state_dict().items()
        },
    )
    images = torch.randn(2, 3, 32, 32)
    first.eval(), plain.eval()
    assert torch.equal(plain(images), first.student(images))
