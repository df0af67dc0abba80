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

from mmkd_custom.evaluation import (
    read_results,
    summarize,
    versions,
    write_json,
)


def test_last_is_the_result_and_oracle_the_best_epoch_of_the_first():
    summary = summarize(
        [
            dict(epoch=2, accuracy=50.0, f1=48.0),
            dict(epoch=4, accuracy=70.0, f1=40.0),
            dict(epoch=6, accuracy=60.0, f1=45.0),
        ]
    )
    assert summary == dict(
        last=dict(accuracy=60.0, f1=45.0),
        oracle=dict(epoch=4, accuracy=70.0, f1=40.0),
    )


def test_a_metric_that_came_late_and_one_below_zero():
    summary = summarize(
        [dict(epoch=1, score=-3.0), dict(epoch=2, score=-5.0, late=1.0)]
    )
    assert summary['oracle'] == dict(epoch=1, score=-3.0)


def test_no_number_is_never_the_best():
    nan = float('nan')
    history = [
        dict(epoch=epoch, score=score)
        for epoch, score in enumerate((nan, 1.0, nan, 2.0, 2.0, nan), 1)
    ]
    assert summarize(history)['oracle'] == dict(epoch=4, score=2.0)


def test_a_run_without_evaluation():
    assert summarize([]) == dict(last={}, oracle={})


def test_versions_are_those_of_the_installed_packages():
    found = versions()
    assert found['python'] == platform.python_version()
    for name in ('torch', 'mmengine', 'mmpretrain', 'timm', 'numpy'):
        assert found[name] == metadata.version(name)
    for name, version in found.items():
        assert isinstance(version, str) and version, name
    # Two packages with the same content: either is enough.
    assert {'mmcv', 'mmcv-lite'} & set(found)


def test_results_round_trip(tmp_path):
    results = dict(
        task='Art->Café', seed=0, last=dict(a=1.5), split_sha256=None
    )
    assert read_results(tmp_path) is None
    write_json(results, tmp_path / 'results.json')
    assert read_results(str(tmp_path)) == results
    text = (tmp_path / 'results.json').read_text()
    assert json.loads(text) == results and text.endswith('}\n')
    assert [path.name for path in tmp_path.iterdir()] == ['results.json']


def test_what_cannot_be_written_leaves_the_old_results(tmp_path, monkeypatch):
    path = tmp_path / 'results.json'
    write_json(dict(seed=0), path)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError) as error:
        write_json(dict(seed=1), path)
    assert error.value.filename == str(path)
    assert read_results(tmp_path) == dict(seed=0)
    assert list(tmp_path.iterdir()) == [path]


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
