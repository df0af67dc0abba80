"""tools/train.py and tools/test.py on a small tree of real images."""

import json
import runpy
import subprocess
import sys

import pytest
import torch

from tests.cli import REPOSITORY, TINY, environment, run_tool, train_arguments
from tests.helpers import make_domains

DOMAINS = dict(SOURCE='art', TARGET='photo', SEED='1')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """One finished run of the shipped domain-folder config."""
    root = make_domains(tmp_path_factory.mktemp('data'))
    work_dir = tmp_path_factory.mktemp('work') / 'run'
    result = run_tool(
        'train.py', *train_arguments(work_dir), DATA_ROOT=str(root), **DOMAINS
    )
    assert result.returncode == 0, result.stderr
    return root, work_dir, result


@pytest.mark.slow
def test_a_run_leaves_what_the_contract_says(run):
    _, work_dir, _ = run
    results = json.loads((work_dir / 'results.json').read_text())
    assert results['config'] == 'customkd_mbv3_domain_folder.py'
    assert results['seed'] == 1
    assert results['task'] == 'art->photo'
    assert len(results['split_sha256']) == 64
    assert results['epochs'] == 4
    assert results['wall_seconds'] > 0
    assert {'python', 'torch', 'mmengine'} <= set(results['versions'])
    for kind in ('last', 'oracle'):
        assert 0 <= results[kind]['accuracy/top1'] <= 100
        assert 0 <= results[kind]['single-label/f1-score'] <= 100
    assert (
        results['oracle']['accuracy/top1'] >= results['last']['accuracy/top1']
    )
    checkpoint = torch.load(
        work_dir / 'epoch_4.pth', map_location='cpu', weights_only=True
    )
    assert not [k for k in checkpoint['state_dict'] if 'teacher.' in k]
    log = next(work_dir.glob('*/*.log')).read_text()
    for word in (
        'loss_ce',
        'loss_general',
        'loss_specific',
        'teacher_top1',
        'loss_customization',
        'customization',
        'distillation',
    ):
        assert word in log, word


@pytest.mark.slow
def test_no_progress_bar_without_a_terminal(run):
    _, _, result = run
    assert '\x1b[' not in result.stdout + result.stderr
    assert '━' not in result.stdout + result.stderr


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
def test_student_loads_into_plain_mmpretrain(run, tmp_path):
    root, work_dir, _ = run
    from mmkd_custom.engine.config import load_config
    from mmkd_custom.registry import MODELS

    config = load_config(work_dir / 'customkd_mbv3_domain_folder.py')
    student = tmp_path / 'student.json'
    student.write_text(json.dumps(config.model.student.to_dict()))
    model = MODELS.build(
        dict(config.model, data_preprocessor=config.data_preprocessor)
    )
    checkpoint = torch.load(work_dir / 'epoch_4.pth', weights_only=True)
    model.load_state_dict(checkpoint['state_dict'])
    model.eval()
    inputs = torch.randn(3, 3, 96, 96)
    torch.save(inputs, tmp_path / 'inputs.pt')
    script = tmp_path / 'plain.py'
    script.write_text(_PLAIN)
    done = subprocess.run(
        [
            sys.executable,
            script,
            student,
            work_dir / 'student.pth',
            tmp_path / 'inputs.pt',
            tmp_path / 'logits.pt',
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


@pytest.fixture
def evaluate(run, tmp_path):
    """Runs tools/test.py on weights of the run; gives metrics and log."""

    def test(weights, *arguments):
        root, work_dir, _ = run
        out = tmp_path / 'metrics.json'
        result = run_tool(
            'test.py',
            REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py',
            work_dir / weights,
            '--work-dir',
            tmp_path / 'test',
            '--out',
            out,
            *arguments,
            '--cfg-options',
            *TINY,
            'test_dataloader.num_workers=0',
            'test_dataloader.persistent_workers=False',
            DATA_ROOT=str(root),
            **DOMAINS,
        )
        assert result.returncode == 0, result.stderr
        log = next((tmp_path / 'test').glob('*/*.log')).read_text()
        return json.loads(out.read_text()), log

    return test


@pytest.mark.slow
@pytest.mark.parametrize('weights', ['epoch_4.pth', 'student.pth'])
def test_test_gives_the_metrics_of_the_run(run, evaluate, weights):
    metrics, _ = evaluate(weights)
    results = json.loads((run[1] / 'results.json').read_text())
    for name, value in results['last'].items():
        assert metrics[name] == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize('out', [None, 'said.json'])
def test_predictions_want_a_pickle(tmp_path, out):
    given = [] if out is None else ['--out', tmp_path / out]
    pred = ['--out-item', 'pred']
    result = run_tool('test.py', 'config.py', 'student.pth', *given, *pred)
    assert result.returncode == 2
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith('error: --out ')
    assert line.endswith('--out-item pred wants a .pkl file.')
    assert (out or '--out is missing') in line


def test_metrics_want_no_pickle(tmp_path):
    given = ['--out', tmp_path / 'said.pkl', '--out-item', 'metrics']
    result = run_tool('test.py', 'config.py', 'student.pth', *given)
    assert result.returncode == 2
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith(f'error: --out {given[1]}, but --out-item metrics')


@pytest.mark.parametrize(
    ('out', 'kept'), [('said.pkl', True), ('said.json', False)]
)
def test_the_ending_says_what_is_kept(tmp_path, monkeypatch, out, kept):
    tool = runpy.run_path(str(REPOSITORY / 'tools' / 'test.py'))
    given = []

    def test(config, checkpoint, tta, predictions):
        given.append(predictions)
        return dict(top1=50.0)

    scope = tool['main'].__globals__
    monkeypatch.setitem(scope, 'load_config', lambda *_: {})
    monkeypatch.setitem(scope, 'prepare', lambda config, **_: config)
    monkeypatch.setitem(scope, 'test', test)
    monkeypatch.setenv('LOCAL_RANK', '0')
    path = tmp_path / out
    monkeypatch.setattr(
        'sys.argv', ['test.py', 'config.py', 's.pth', '--out', str(path)]
    )
    tool['main']()
    assert given == [str(path) if kept else None]
    assert path.exists() != kept


@pytest.mark.slow
def test_test_augments_at_test_time(evaluate):
    # A checkpoint of the whole distiller, which is loaded strictly.
    metrics, log = evaluate('epoch_4.pth', '--tta')
    assert 0 <= metrics['accuracy/top1'] <= 100
    for word in ('AverageClsScoreTTA', 'TestTimeAug'):
        assert word in log, word


@pytest.fixture
def fails(tmp_path, monkeypatch, capsys):
    """Runs the tool in this process and checks how it refuses."""

    def check(root, words, options=(), extra=(), left=(), **variables):
        work_dir = tmp_path / 'never'
        arguments = train_arguments(
            work_dir, options=[*TINY, *options], extra=extra
        )
        tool = REPOSITORY / 'tools' / 'train.py'
        monkeypatch.setattr(
            sys, 'argv', [str(tool), *(str(a) for a in arguments)]
        )
        for name, value in dict(
            DOMAINS, DATA_ROOT=str(root), **variables
        ).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as exit_:
            runpy.run_path(str(tool), run_name='__main__')
        stderr = capsys.readouterr().err
        assert exit_.value.code == 2
        last = stderr.strip().splitlines()[-1]
        assert last.startswith('error: '), stderr
        for word in words:
            assert word in last, last
        assert [path.name for path in work_dir.glob('*')] == list(left)
        assert work_dir.exists() == bool(left)

    return check


@pytest.mark.parametrize(
    'name, words',
    [
        ('missing root', ['nowhere', 'DATA_ROOT']),
        ('source is target', ['photo']),
        ('unknown domain', ['sketch', 'art', 'photo']),
        ('one domain only', ['zebra']),
        ('empty class', ['zebra']),
        ('unreadable image', ['broken.jpg']),
        ('projection', ['in_channels', '7']),
        (
            'teacher name',
            ['vit_smal_patch14_dinov2', 'vit_small_patch14_dinov2'],
        ),
        ('batch size', ['batch_size', '0']),
        ('no distillation', ['distillation']),
        ('no epoch that distils', ['max_epochs=1', 'customization']),
        ('misspelt argument', ["'genral_weight'", "'general_weight'"]),
        ('misspelt type', ["'CustomKDD'", "'CustomKD'"]),
        ('teacher weights', ['nothing.pth']),
        ('resume', ['nothing.pth']),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, fails, name, words):
    root = make_domains(tmp_path / 'data')
    options, extra, variables = [], [], {}
    # What the teacher said of other images is right, and stays.
    left = ['teacher_cache'] if name == 'unreadable image' else []
    if name == 'missing root':
        root = tmp_path / 'nowhere'
    elif name == 'source is target':
        variables = dict(SOURCE='photo')
    elif name == 'unknown domain':
        variables = dict(TARGET='sketch')
    elif name in ('one domain only', 'empty class'):
        (root / 'photo' / 'zebra').mkdir()
        if name == 'empty class':
            (root / 'art' / 'zebra').mkdir()
    elif name == 'unreadable image':
        (root / 'art' / 'cat' / 'broken.jpg').write_bytes(b'not a jpeg')
    elif name == 'projection':
        options = [
            'model.projection.type=LinearConnector',
            'model.projection.in_channels=7',
        ]
    elif name == 'teacher name':
        options = ['model.teacher.teacher.model_name=vit_smal_patch14_dinov2']
    elif name == 'batch size':
        options = ['train_dataloader.batch_size=0']
    elif name == 'no distillation':
        options = [
            'model.schedule.customization=1',
            'model.schedule.distillation=0',
        ]
    elif name == 'no epoch that distils':
        options = ['train_cfg.max_epochs=1']
    elif name == 'misspelt argument':
        options = ['model.genral_weight=3']
    elif name == 'misspelt type':
        options = ['model.type=CustomKDD']
    elif name == 'teacher weights':
        options = [f'model.teacher.teacher.checkpoint={tmp_path}/nothing.pth']
    elif name == 'resume':
        extra = ['--resume', str(tmp_path / 'nothing.pth')]
    fails(root, words, options, extra, left, **variables)


@pytest.mark.slow
def test_a_checkpoint_that_does_not_match_names_the_keys(run, tmp_path, fails):
    root, work_dir, _ = run
    wrong = torch.load(work_dir / 'epoch_4.pth', weights_only=True)
    weights = wrong['state_dict']
    weights['student.extra'] = weights.pop(
        'student.backbone.layer0.conv.weight'
    )
    torch.save(wrong, tmp_path / 'wrong.pth')
    fails(
        root,
        ['layer0.conv.weight', 'student.extra'],
        extra=['--resume', str(tmp_path / 'wrong.pth')],
    )


def test_the_exit_code_of_the_process_is_2(tmp_path):
    result = run_tool('train.py', tmp_path / 'nothing.py')
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith('error: ')
    assert 'Traceback' not in result.stderr


def test_environment_helper_puts_the_repository_on_the_path():
    assert environment()['PYTHONPATH'].startswith(str(REPOSITORY))
