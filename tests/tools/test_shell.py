"""The launch scripts, run with programs in PATH that write down what came."""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from tests.cli import free_port

# A tool that fails on one of its ranks, while the other waits for it.
FAILING = """
import os, sys, time
if os.environ['RANK'] == '1':
    code = int(os.environ['CODE'])
    sys.exit('error: a sentence' if code == 1 else code)
time.sleep(120)
"""
RECORDER = """#!{python}
import json, os, sys
with open(os.environ['RECORD'], 'w') as file:
    json.dump(dict(argv=sys.argv, path=os.environ['PYTHONPATH']), file)
"""
SETTINGS = (
    'NNODES NODE_RANK PORT MASTER_ADDR GPUS GPUS_PER_NODE CPUS_PER_TASK '
    'SRUN_ARGS PYTHONPATH'
).split()
SCRIPTS = (
    'demo.sh',
    'dist_test.sh',
    'dist_train.sh',
    'slurm_test.sh',
    'slurm_train.sh',
    'test.sh',
)
pytestmark = pytest.mark.skipif(not shutil.which('bash'), reason='no bash')


@pytest.fixture
def run(tmp_path, repo):
    programs = tmp_path / 'bin'
    programs.mkdir()
    for name in ('srun', 'python'):
        program = programs / name
        program.write_text(RECORDER.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    record = tmp_path / 'record.json'

    def run(script, *arguments, **settings):
        """Runs a script; gives (exit code, stderr, what was recorded)."""
        env = {k: v for k, v in os.environ.items() if k not in SETTINGS}
        env.update(settings, RECORD=str(record))
        env['PATH'] = f'{programs}{os.pathsep}{env["PATH"]}'
        done = subprocess.run(
            ['bash', str(repo / 'tools' / script), *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )
        came = json.loads(record.read_text()) if record.exists() else None
        return done.returncode, done.stderr, came

    return run


def _tool(repo, name):
    return str(repo / 'tools' / name)


def test_dist_train_defaults(run, repo):
    code, _, came = run('dist_train.sh', 'my config.py', '4')
    assert code == 0
    assert came['argv'][1:] == [
        _tool(repo, '_torchrun.py'),
        '--nnodes=1',
        '--node_rank=0',
        '--master_addr=127.0.0.1',
        '--master_port=29500',
        '--nproc_per_node=4',
        _tool(repo, 'train.py'),
        'my config.py',
        '--launcher',
        'pytorch',
    ]
    assert os.path.samefile(came['path'], repo)


def test_dist_train_settings_and_arguments(run):
    code, _, came = run(
        'dist_train.sh',
        'c.py',
        '2',
        '--cfg-options',
        'a="x y"',
        '--work-dir',
        'dir with spaces',
        '',
        NNODES='3',
        NODE_RANK='1',
        PORT='1234',
        MASTER_ADDR='10.0.0.1',
        PYTHONPATH='/other',
    )
    assert code == 0
    assert came['argv'][2:7] == [
        '--nnodes=3',
        '--node_rank=1',
        '--master_addr=10.0.0.1',
        '--master_port=1234',
        '--nproc_per_node=2',
    ]
    assert came['argv'][-5:] == [
        '--cfg-options',
        'a="x y"',
        '--work-dir',
        'dir with spaces',
        '',
    ]
    assert came['path'].endswith(':/other')


def test_dist_test(run, repo):
    code, _, came = run(
        'dist_test.sh', 'c.py', 'my weights.pth', '2', '--out', 'a b.json'
    )
    assert code == 0
    assert came['argv'][6:] == [
        '--nproc_per_node=2',
        _tool(repo, 'test.py'),
        'c.py',
        'my weights.pth',
        '--launcher',
        'pytorch',
        '--out',
        'a b.json',
    ]


def test_slurm_train_defaults(run, repo):
    code, _, came = run(
        'slurm_train.sh', 'part', 'my job', 'c.py', 'a dir', '--amp', 'x y'
    )
    assert code == 0
    assert came['argv'][1:] == [
        '-p',
        'part',
        '--job-name=my job',
        '--gres=gpu:8',
        '--ntasks=8',
        '--ntasks-per-node=8',
        '--cpus-per-task=5',
        '--kill-on-bad-exit=1',
        'python',
        '-u',
        _tool(repo, 'train.py'),
        'c.py',
        '--work-dir=a dir',
        '--launcher=slurm',
        '--amp',
        'x y',
    ]
    assert os.path.samefile(came['path'], repo)


def test_slurm_test_settings(run, repo):
    code, _, came = run(
        'slurm_test.sh',
        'part',
        'job',
        'c.py',
        'a.pth',
        GPUS='4',
        GPUS_PER_NODE='2',
        CPUS_PER_TASK='3',
        SRUN_ARGS='--quotatype=spot --time 1:00',
    )
    assert code == 0
    assert came['argv'][4:] == [
        '--gres=gpu:2',
        '--ntasks=4',
        '--ntasks-per-node=2',
        '--cpus-per-task=3',
        '--kill-on-bad-exit=1',
        '--quotatype=spot',
        '--time',
        '1:00',
        'python',
        '-u',
        _tool(repo, 'test.py'),
        'c.py',
        'a.pth',
        '--launcher=slurm',
    ]


@pytest.mark.parametrize(
    'script, wanted',
    [
        ('dist_train.sh', 2),
        ('dist_test.sh', 3),
        ('slurm_train.sh', 4),
        ('slurm_test.sh', 4),
    ],
)
def test_missing_arguments_show_the_usage(script, wanted, run):
    for count in range(wanted):
        code, stderr, came = run(script, *['x'] * count)
        assert code == 2
        assert stderr.startswith('usage: ') and script in stderr
        assert came is None


@pytest.mark.parametrize('gpus', ['0', '-1', 'two', '--amp'])
def test_gpus_that_are_no_number(run, gpus):
    for script, before in (('dist_train.sh', 1), ('dist_test.sh', 2)):
        code, stderr, came = run(script, *['x'] * before, gpus)
        assert (code, came) == (2, None)
        assert stderr.startswith('usage: ') and script in stderr


@pytest.mark.parametrize('flag', ['-h', '--help'])
@pytest.mark.parametrize('script', SCRIPTS)
def test_help_needs_no_environment(script, flag, repo, tmp_path):
    done = subprocess.run(
        [shutil.which('bash'), str(repo / 'tools' / script), flag],
        # No python, no pip, no srun.
        env=dict(PATH=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('usage: ') and script in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_are_executable_and_parse(script, repo):
    path = repo / 'tools' / script
    assert os.access(path, os.X_OK)
    subprocess.run(['bash', '-n', str(path)], check=True)


def test_exit_code_of_the_program_is_kept(tmp_path, run):
    (tmp_path / 'bin' / 'python').write_text('#!/bin/sh\nexit 7\n')
    assert run('dist_train.sh', 'c.py', '1')[0] == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    'name, code',
    [('train', 2), ('train', 1), ('train', 130), ('train', 141), ('test', 2)],
)
def test_a_mistake_of_the_user_on_one_rank(tmp_path, repo, name, code):
    script = tmp_path / 'tools' / f'dist_{name}.sh'
    script.parent.mkdir()
    for copied in (script.name, '_torchrun.py', '_interrupt.py'):
        shutil.copy(repo / 'tools' / copied, script.parent)
    (script.parent / f'{name}.py').write_text(FAILING)
    # The script takes the python of the path.
    folder = os.path.dirname(sys.executable)
    done = subprocess.run(
        ['bash', str(script), 'c.py', *['x'] * (name == 'test'), '2'],
        env={
            **os.environ,
            'PATH': f'{folder}{os.pathsep}{os.environ["PATH"]}',
            'CODE': str(code),
            'PORT': str(free_port()),
            'OMP_NUM_THREADS': '1',
        },
        capture_output=True,
        text=True,
        timeout=1000,
    )
    assert done.returncode == code
    if code != 1:
        # What the rank said, which is nothing here.
        assert done.stderr == ''
    else:
        assert 'error: a sentence' in done.stderr
        assert 'ChildFailedError' in done.stderr
