"""Checkpoints of MMEngine and nested classifiers, read by newer torch."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import get_state_dict
from mmengine.runner.checkpoint import load_state_dict as mmengine_load
from mmpretrain.models import TimmClassifier

from mmkd_custom.utils import compat


def test_message_hub_can_be_read_back(tmp_path):
    hub = MessageHub.get_instance('test_compat')
    for step in range(3):
        hub.update_scalar('train/loss', 0.5 + step)
    hub.update_info('best', np.float64(0.75))
    hub.update_info('history', [dict(epoch=1, accuracy=50.0)])
    hub.update_info('rng', np.random.RandomState(0).get_state())
    torch.save(hub.state_dict(), tmp_path / 'hub.pth')
    state = torch.load(tmp_path / 'hub.pth', weights_only=True)
    log, count = state['log_scalars']['train/loss'].data
    np.testing.assert_array_equal(log, [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(count, [1, 1, 1])
    assert state['runtime_info']['best'] == 0.75
    assert state['runtime_info']['rng'][1].dtype == np.uint32


@pytest.mark.parametrize('module', ['registry', 'utils.files'])
def test_fresh_process_reads_it_back(module, tmp_path, repo):
    """HistoryBuffer fills a class attribute on its first instance."""
    path = tmp_path / 'epoch_1.pth'
    torch.save(HistoryBuffer([2.0, 4.0], [1, 1]), path)
    code = (
        f'import sys, torch, mmkd_custom.{module}\n'
        'print(torch.load(sys.argv[1], weights_only=True).mean())'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(path)],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ['3.0']


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


def test_nested_timm_classifier_needs_the_fix():
    """Shows MMPretrain's fault; when it is mended, drop the workaround."""
    state_dict = _Wrapper(fixed=False).state_dict()
    assert all(key.startswith('student.model.') for key in state_dict)


@pytest.mark.parametrize('get', [nn.Module.state_dict, get_state_dict])
def test_nested_timm_classifier_saves_the_keys_of_timm(get):
    wrapper = _Wrapper(fixed=True)
    plain = TimmClassifier('mobilenetv3_small_050', num_classes=3)
    expected = set(plain.state_dict())
    assert set(get(wrapper)) == {'student.' + key for key in expected}
    assert set(get(nn.Sequential(copy.deepcopy(wrapper)))) == {
        '0.student.' + key for key in expected
    }
    assert set(get(wrapper.student)) == expected


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
