"""tools/train.py and tools/test.py on a small tree of real images."""

import json
import subprocess
import sys

import pytest
import torch

from mmkd_custom.engine.config import load_config
from mmkd_custom.registry import MODELS
from tests.cli import (
    REPOSITORY,
    TINY,
    call_tool,
    environment,
    run_tool,
    train_arguments,
)
from tests.helpers import make_domains

CONFIG = 'customkd_mbv3_domain_folder.py'
EPOCHS = 2


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """One finished run of the shipped domain-folder config."""
    root = make_domains(tmp_path_factory.mktemp('data'))
    work_dir = tmp_path_factory.mktemp('work') / 'run'
    result = run_tool(
        'train.py',
        *train_arguments(work_dir, EPOCHS),
        DATA_ROOT=str(root),
        SOURCE='art',
        TARGET='photo',
        SEED='1',
    )
    assert result.returncode == 0, result.stderr
    return root, work_dir, result


@pytest.fixture
def variables(run, monkeypatch):
    """The environment of that run."""
    names = dict(SOURCE='art', TARGET='photo', SEED='1')
    for name, value in dict(names, DATA_ROOT=str(run[0])).items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_run_leaves_what_the_contract_says(run):
    _, work_dir, result = run
    results = json.loads((work_dir / 'results.json').read_text())
    assert results['config'] == CONFIG
    assert (results['seed'], results['task']) == (1, 'art->photo')
    assert len(results['split_sha256']) == 64
    assert results['epochs'] == EPOCHS
    assert results['wall_seconds'] > 0
    assert {'python', 'torch', 'mmengine'} <= set(results['versions'])
    for kind in ('last', 'oracle'):
        for name in ('accuracy/top1', 'single-label/f1-score'):
            assert 0 <= results[kind][name] <= 100
    checkpoint = torch.load(
        work_dir / f'epoch_{EPOCHS}.pth', map_location='cpu', weights_only=True
    )
    assert not [k for k in checkpoint['state_dict'] if 'teacher.' in k]
    log = next(work_dir.glob('*/*.log')).read_text()
    for word in (
        *('loss_ce', 'loss_general', 'loss_specific', 'loss_customization'),
        *('teacher_top1', 'customization', 'distillation'),
    ):
        assert word in log, word
    # No progress bar without a terminal.
    assert '\x1b[' not in result.stdout + result.stderr


_PLAIN = """
import sys
sys.modules['mmkd_custom'] = None  # cannot be imported here
import torch
import json
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpretrain.registry import MODELS
init_default_scope('mmpretrain')
model = MODELS.build(json.load(open(sys.argv[1])))
load_checkpoint(model, sys.argv[2], strict=True)
model.eval()
inputs = torch.load(sys.argv[3], weights_only=True)
with torch.no_grad():
    torch.save(model(inputs), sys.argv[4])
"""


@pytest.mark.slow
def test_student_loads_into_plain_mmpretrain(run, variables, tmp_path):
    _, work_dir, _ = run
    config = load_config(work_dir / CONFIG)
    student = tmp_path / 'student.json'
    student.write_text(json.dumps(config.model.student.to_dict()))
    model = MODELS.build(
        dict(config.model, data_preprocessor=config.data_preprocessor)
    )
    checkpoint = torch.load(
        work_dir / f'epoch_{EPOCHS}.pth', weights_only=True
    )
    model.load_state_dict(checkpoint['state_dict'])
    model.eval()
    inputs = torch.randn(3, 3, 96, 96)
    torch.save(inputs, tmp_path / 'inputs.pt')
    (tmp_path / 'plain.py').write_text(_PLAIN)
    done = subprocess.run(
        [
            sys.executable,
            *(tmp_path / 'plain.py', student, work_dir / 'student.pth'),
            *(tmp_path / 'inputs.pt', tmp_path / 'logits.pt'),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = model(inputs)
    got = torch.load(tmp_path / 'logits.pt', weights_only=True)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    'weights, extra',
    [
        (f'epoch_{EPOCHS}.pth', []),
        ('student.pth', []),
        # A checkpoint of the whole distiller, which is loaded strictly.
        (f'epoch_{EPOCHS}.pth', ['--tta']),
    ],
)
def test_metrics_of_a_test_are_those_of_the_run(
    run, variables, tmp_path, weights, extra
):
    _, work_dir, _ = run
    code = call_tool(
        'test.py',
        *(REPOSITORY / 'configs' / CONFIG, work_dir / weights),
        *('--work-dir', tmp_path / 'test', '--out', tmp_path / 'out.json'),
        *extra,
        *('--cfg-options', *TINY, 'test_dataloader.num_workers=0'),
    )
    assert code == 0
    metrics = json.loads((tmp_path / 'out.json').read_text())
    log = next((tmp_path / 'test').glob('*/*.log')).read_text()
    assert ('AverageClsScoreTTA' in log) == bool(extra)
    results = json.loads((work_dir / 'results.json').read_text())
    for name, value in results['last'].items():
        assert extra or metrics[name] == pytest.approx(value, abs=1e-4)
        assert 0 <= metrics[name] <= 100


@pytest.mark.slow
@pytest.mark.parametrize(
    'out, item, kept',
    [
        ('out.pkl', None, 'predictions'),
        ('out.pkl', 'pred', 'predictions'),
        ('out.json', 'metrics', 'metrics'),
    ],
)
def test_file_that_is_asked_for(run, variables, tmp_path, out, item, kept):
    _, work_dir, _ = run
    code = call_tool(
        'test.py',
        *(REPOSITORY / 'configs' / CONFIG, work_dir / 'student.pth'),
        *('--work-dir', tmp_path / 'test', '--out', tmp_path / out),
        *(() if item is None else ('--out-item', item)),
        *('--cfg-options', *TINY, 'test_dataloader.num_workers=0'),
    )
    assert code == 0
    if kept == 'metrics':
        assert 'accuracy/top1' in json.loads((tmp_path / out).read_text())
    else:
        assert (tmp_path / out).stat().st_size > 1000


def test_exit_code_of_the_process_is_2(tmp_path):
    result = run_tool('train.py', tmp_path / 'nothing.py')
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith('error: ')
    assert 'Traceback' not in result.stderr


def test_environment_helper_puts_the_repository_on_the_path():
    assert environment()['PYTHONPATH'].startswith(str(REPOSITORY))
