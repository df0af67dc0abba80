"""tools/_venv.sh, as demo.sh and test.sh source it."""

import os
import shutil
import stat
import subprocess

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which('bash'), reason='no bash'),
]

# An interpreter that writes down what came; asked for a virtual environment
# it makes one that holds itself and a pip. It knows all packages but with
# LACKS.
PYTHON = """#!/bin/sh
echo "$(basename "$0") $*" | head -n 1 >>"{record}"
if [ "$2" = venv ]; then
    mkdir -p "$4/bin"
    cp "$0" "$4/bin/python"
    cp "$0" "$4/bin/pip"
fi
[ "$1" != -c ] || [ -z "$LACKS" ]
"""
NAMES = ('VIRTUAL_ENV', 'CONDA_PREFIX', 'CONDA_DEFAULT_ENV', 'PYTHON')
SCRIPTS = ('demo.sh', 'test.sh')


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def checkout(tmp_path, repo):
    """A folder with the scripts and what they read; nothing is installed."""
    root = tmp_path / 'a checkout'
    (root / 'tools').mkdir(parents=True)
    for name in ('_venv.sh', *SCRIPTS):
        shutil.copy(repo / 'tools' / name, root / 'tools')
    for name in ('setup.py', 'pyproject.toml'):
        shutil.copy(repo / name, root)
    return root


@pytest.fixture
def run(checkout, tmp_path):
    """Runs a script; gives the interpreters' command lines."""
    record = tmp_path / 'record.txt'
    program(tmp_path / 'system', PYTHON.format(record=record))

    def run(script, environment=None, **variables):
        if environment is not None:
            for name in ('python', 'pip'):
                program(
                    environment / 'bin' / name, PYTHON.format(record=record)
                )
        env = {k: v for k, v in os.environ.items() if k not in NAMES}
        env.update(variables, PYTHON=str(tmp_path / 'system'))
        record.write_text('')
        subprocess.run(
            ['bash', str(checkout / 'tools' / script), '--some', 'argument'],
            check=True,
            env=env,
            cwd=tmp_path,
            capture_output=True,
        )
        return record.read_text().splitlines()

    return run


@pytest.mark.parametrize('script', SCRIPTS)
def test_a_virtual_environment_is_made_once(run, checkout, script):
    made = f'system -m venv --clear {checkout / ".venv"}'
    calls = run(script)
    assert calls[0] == made
    assert all(call.startswith('python ') for call in calls[1:])
    assert calls[-1].endswith('--some argument')
    assert made not in run(script)


@pytest.mark.parametrize('script', SCRIPTS)
def test_an_interrupted_environment_is_made_again(run, checkout, script):
    program(checkout / '.venv' / 'bin' / 'python', '#!/bin/sh\nexit 1\n')
    calls = run(script)
    assert calls[0].startswith('system -m venv --clear')
    assert calls[-1].endswith('--some argument')


@pytest.mark.parametrize('script', SCRIPTS)
@pytest.mark.parametrize('name', ['VIRTUAL_ENV', 'CONDA_PREFIX'])
def test_an_active_environment_is_taken(run, checkout, tmp_path, script, name):
    folder = tmp_path / 'active one'
    # Its interpreter counts, whatever comes first in PATH.
    calls = run(script, folder, **{name: str(folder)})
    assert calls and all(call.startswith('python ') for call in calls)
    assert calls[-1].endswith('--some argument')
    assert not (checkout / '.venv').exists()


@pytest.mark.parametrize('script', SCRIPTS)
def test_condas_base_is_left_alone(run, checkout, tmp_path, script):
    folder = tmp_path / 'conda'
    run(
        script,
        folder,
        CONDA_PREFIX=str(folder),
        CONDA_DEFAULT_ENV='base',
    )
    assert (checkout / '.venv').is_dir()
    assert not (folder / '.mmkd_custom_test').exists()


def test_the_tests_are_installed_once_and_after_a_change(
    run, checkout, tmp_path
):
    folder = tmp_path / 'active'

    def installs():
        calls = run('test.sh', folder, VIRTUAL_ENV=str(folder))
        assert calls[-1] == 'python -m pytest -q -n 2 --some argument'
        assert [c for c in calls if 'ruff' in c] == [
            'python -m ruff check .',
            'python -m ruff format --check .',
        ]
        return sum('pip install' in call for call in calls)

    assert [installs(), installs()] == [2, 0]
    with open(checkout / 'setup.py', 'a') as file:
        file.write('# changed\n')
    assert [installs(), installs()] == [2, 0]


def test_the_demo_is_installed_by_a_pip_that_can(run, tmp_path):
    folder = tmp_path / 'active'
    for lacks, wanted in (
        ('', []),
        (
            'something',
            [
                'python -m pip install --quiet --upgrade pip',
                'python -m pip install --quiet --editable .[demo]',
            ],
        ),
    ):
        calls = run('demo.sh', folder, VIRTUAL_ENV=str(folder), LACKS=lacks)
        assert [call for call in calls if ' pip ' in call] == wanted
        assert calls[-1] == 'python tools/demo.py --some argument'


@pytest.mark.parametrize('script', ['_venv.sh', *SCRIPTS])
def test_the_scripts_parse(repo, script):
    path = str(repo / 'tools' / script)
    subprocess.run(['bash', '-n', path], check=True)
