"""The shell scripts, run with programs that write down what came."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.cli import free_port

pytestmark = pytest.mark.skipif(not shutil.which('bash'), reason='no bash')

# What stands in for python and srun. Asked for a virtual environment it makes
# one that holds itself and a pip.
RECORDER = f"""#!{sys.executable}
import json, os, shutil, sys
name, *arguments = sys.argv
call = [os.path.basename(name), *arguments, os.environ.get('PYTHONPATH', '')]
with open(os.environ['RECORD'], 'a') as file:
    file.write(json.dumps(call) + chr(10))
if sys.argv[1:3] == ['-m', 'venv']:
    os.makedirs(sys.argv[-1] + '/bin')
    for name in ('python', 'pip'):
        shutil.copy(sys.argv[0], sys.argv[-1] + '/bin/' + name)
"""
SETTINGS = (
    'NNODES NODE_RANK PORT MASTER_ADDR GPUS GPUS_PER_NODE CPUS_PER_TASK '
    'SRUN_ARGS PYTHONPATH VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYTHON'
).split()
LAUNCHERS = (
    'dist_train.sh',
    'dist_test.sh',
    'slurm_train.sh',
    'slurm_test.sh',
)


def program(path, text=RECORDER):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def run(tmp_path, repo):
    """Runs a script of a checkout; gives (exit code, stderr, calls)."""
    checkout, record = tmp_path / 'a checkout', tmp_path / 'record'
    shutil.copytree(repo / 'tools', checkout / 'tools')
    for name in ('setup.py', 'pyproject.toml'):
        shutil.copy(repo / name, checkout)
    for name in ('srun', 'python', 'python3'):
        program(tmp_path / 'bin' / name)

    def run(script, *arguments, **settings):
        env = {k: v for k, v in os.environ.items() if k not in SETTINGS}
        env.update(settings, RECORD=str(record))
        env['PATH'] = f'{tmp_path / "bin"}{os.pathsep}{env["PATH"]}'
        record.write_text('')
        done = subprocess.run(
            ['bash', str(checkout / 'tools' / script), *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )
        calls = [json.loads(line) for line in record.read_text().splitlines()]
        return done.returncode, done.stderr, calls

    return run


def test_dist_scripts_call_torchrun(run, tmp_path):
    tools = str(tmp_path / 'a checkout' / 'tools')
    code, _, (call,) = run('dist_train.sh', 'my config.py', '4')
    assert code == 0
    assert call == [
        *('python', f'{tools}/_torchrun.py', '--nnodes=1', '--node_rank=0'),
        *('--master_addr=127.0.0.1', '--master_port=29500'),
        *('--nproc_per_node=4', f'{tools}/train.py', '--launcher=pytorch'),
        *('my config.py', f'{tools}/..'),
    ]
    arguments = ['--cfg-options', 'a="x y"', '--work-dir', 'a dir', '']
    settings = dict(NNODES='3', NODE_RANK='1', PORT='1', MASTER_ADDR='host')
    _, _, (call,) = run(
        *('dist_test.sh', 'c.py', 'my weights.pth', '2', *arguments),
        PYTHONPATH='/other',
        **settings,
    )
    assert call[2:6] == [
        *('--nnodes=3', '--node_rank=1'),
        *('--master_addr=host', '--master_port=1'),
    ]
    assert call[7:] == [
        *(f'{tools}/test.py', '--launcher=pytorch', 'c.py', 'my weights.pth'),
        *arguments,
        f'{tools}/..:/other',
    ]


def test_slurm_scripts_call_srun(run, tmp_path):
    tools = str(tmp_path / 'a checkout' / 'tools')
    start = ('slurm_train.sh', 'part', 'my job', 'c.py', 'a dir', '--amp')
    code, _, (call,) = run(*start)
    assert code == 0
    assert call[:-1] == [
        *('srun', '-p', 'part', '--job-name=my job', '--gres=gpu:8'),
        *('--ntasks=8', '--ntasks-per-node=8', '--cpus-per-task=5'),
        *('--kill-on-bad-exit=1', 'python', '-u', f'{tools}/train.py'),
        *('--launcher=slurm', 'c.py', '--work-dir=a dir', '--amp'),
    ]
    _, _, (call,) = run(
        *('slurm_test.sh', 'part', 'job', 'c.py', 'a.pth'),
        **dict(GPUS='4', GPUS_PER_NODE='2', CPUS_PER_TASK='3'),
        SRUN_ARGS='--quotatype=spot --time 1:00',
    )
    assert call[4:-1] == [
        *('--gres=gpu:2', '--ntasks=4', '--ntasks-per-node=2'),
        *('--cpus-per-task=3', '--kill-on-bad-exit=1', '--quotatype=spot'),
        *('--time', '1:00', 'python', '-u', f'{tools}/test.py'),
        *('--launcher=slurm', 'c.py', 'a.pth'),
    ]


@pytest.mark.parametrize(
    'script, arguments',
    [
        ('dist_train.sh', ['c.py']),
        ('dist_train.sh', ['c.py', '--amp']),
        ('dist_test.sh', ['c.py', 'a.pth', '0']),
        ('slurm_train.sh', ['part', 'job', 'c.py']),
        ('slurm_test.sh', []),
    ],
)
def test_wrong_arguments_show_the_usage(run, script, arguments):
    code, stderr, calls = run(script, *arguments)
    assert (code, calls) == (2, [])
    assert stderr.startswith('usage: ') and script in stderr


@pytest.mark.parametrize(
    'script',
    [
        *('dist_train.sh', 'dist_test.sh', 'slurm_train.sh'),
        *('slurm_test.sh', 'demo.sh', 'test.sh'),
    ],
)
def test_help_runs_nothing(run, script, repo):
    assert os.access(repo / 'tools' / script, os.X_OK)
    assert run(script, '--help') == (0, '', [])


@pytest.mark.parametrize('script', ['demo.sh', 'test.sh'])
def test_environment_is_made_once_or_the_active_one_taken(
    run, script, tmp_path
):
    made = ['-m', 'venv', '--clear']
    code, _, calls = run(script, '--some', 'argument')
    assert code == 0
    assert calls[0][:4] == ['python3', *made]
    assert calls[-1][-3:-1] == ['--some', 'argument']
    _, _, again = run(script)
    assert not any(call[1:4] == made for call in again)
    for name in ('VIRTUAL_ENV', 'CONDA_PREFIX'):
        active = tmp_path / f'active {name}'
        program(active / 'bin' / 'python')
        _, _, calls = run(script, **{name: str(active)})
        assert not any(call[1:4] == made for call in calls)
    # What test.sh installs is noted where it was installed.
    noted = (active / '.mmkd_custom_test').exists()
    assert noted == (script == 'test.sh')


# A tool that fails on one of its ranks, while the other waits for it.
FAILING = """
import os, sys, time
if os.environ['RANK'] == '1':
    code = int(os.environ['CODE'])
    sys.exit('error: a sentence' if code == 1 else code)
time.sleep(120)
"""


@pytest.mark.slow
@pytest.mark.parametrize('code', [2, 1, 130])
def test_exit_code_of_one_rank_is_that_of_the_script(tmp_path, repo, code):
    shutil.copytree(repo / 'tools', tmp_path / 'tools')
    (tmp_path / 'tools' / 'train.py').write_text(FAILING)
    # The script takes the python of the path.
    folder = os.path.dirname(sys.executable)
    done = subprocess.run(
        ['bash', str(tmp_path / 'tools' / 'dist_train.sh'), 'c.py', '2'],
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
    if code == 1:
        assert 'error: a sentence' in done.stderr
    else:
        # What the rank said, which is nothing here.
        assert done.stderr == ''
