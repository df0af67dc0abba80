"""What a run leaves for machines to read."""

import errno
import json
import math
import os
import platform
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.evaluation.results import (
    read_results,
    summarize,
    versions,
    write_json,
)

NAN = float('nan')


@pytest.mark.parametrize(
    'history, last, oracle',
    [
        # Best by the first metric, whatever the others say.
        (
            [dict(a=50.0, b=48.0), dict(a=70.0, b=40.0), dict(a=60.0, b=45.0)],
            dict(a=60.0, b=45.0),
            dict(epoch=2, a=70.0, b=40.0),
        ),
        # A metric below zero, and one that came late.
        (
            [dict(a=-3.0), dict(a=-5.0, late=1.0)],
            dict(a=-5.0, late=1.0),
            dict(epoch=1, a=-3.0),
        ),
        # No number is never the best; of equals the first.
        ([dict(a=a) for a in (NAN, 1, 2, 2)], dict(a=2), dict(epoch=3, a=2)),
        ([], {}, {}),
    ],
)
def test_last_is_the_result_and_oracle_the_best_epoch(history, last, oracle):
    history = [dict(epoch=n, **each) for n, each in enumerate(history, 1)]
    assert summarize(history) == dict(last=last, oracle=oracle)


def test_versions_are_those_of_the_installed_packages():
    found = versions()
    assert found['python'] == platform.python_version()
    for name in ('torch', 'mmengine', 'mmpretrain', 'timm', 'numpy'):
        assert found[name] == metadata.version(name)
    for name, version in found.items():
        assert isinstance(version, str) and version, name
    # Two packages with the same content: either is enough.
    assert {'mmcv', 'mmcv-lite'} & set(found)


def test_results_are_whole_or_not_there(tmp_path, monkeypatch):
    results = dict(task='Art->Café', last=dict(a=1.5), split_sha256=None)
    path = tmp_path / 'results.json'
    assert read_results(tmp_path) is None
    write_json(results, path)
    assert read_results(str(tmp_path)) == results
    assert path.read_text().endswith('}\n')

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError):
        write_json(dict(seed=1), path)
    assert read_results(tmp_path) == results
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('text', ['{"config"', '[]'])
def test_damaged_results_are_refused(tmp_path, text):
    (tmp_path / 'results.json').write_text(text)
    with pytest.raises(UserError, match='results.json'):
        read_results(tmp_path)


def test_whatever_a_metric_gives_is_json(tmp_path):
    given = dict(
        nan=math.nan,
        inf=-math.inf,
        scalar=np.float32(0.5),
        whole=np.int64(3),
        tensor=torch.tensor(2.5),
        each=torch.tensor([1.0, math.inf]),
        table=np.array([[1, 2]]),
        text='all',
        flag=True,
        path=Path('a/b'),
        several=(1, None),
    )
    write_json({'metrics': given, 5: 'five'}, tmp_path / 'out.json')

    def refuse(constant):
        raise AssertionError(f'{constant} is no JSON')

    text = (tmp_path / 'out.json').read_text()
    assert json.loads(text, parse_constant=refuse) == {
        'metrics': dict(
            nan=None,
            inf=None,
            scalar=0.5,
            whole=3,
            tensor=2.5,
            each=[1.0, None],
            table=[[1, 2]],
            text='all',
            flag=True,
            path='a/b',
            several=[1, None],
        ),
        '5': 'five',
    }
