"""The wheel, installed where nothing else of this repository is."""

import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.version import Version

from tests.cli import REPOSITORY
from tests.helpers import make_domains


def _installed(name: str) -> Version:
    # Importing pip would take setuptools' place away from distutils.
    try:
        return Version(version(name))
    except PackageNotFoundError:
        return Version('0')


pytestmark = pytest.mark.skipif(
    not _installed('pip').release[0]
    or _installed('setuptools') < Version('70.1'),
    reason='needs pip, and setuptools 70.1 or later',
)

CONFIG = """
_base_ = 'mmkd_custom::customkd_mbv3_domain_folder.py'

model = dict(teacher=dict(teacher=dict(model_name='test_vit', input_size=32)))
train_dataloader = dict(
    batch_size=8, num_workers=0, sampler=dict(labelled=4, unlabelled=4))
val_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_epochs=2)
"""
#: What a clone has in other folders than a wheel.
SOURCES = (
    *('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md'),
    *('model-index.yml', 'configs', 'tools', 'mmkd_custom'),
)
LEFT_OUT = {'demo.sh', 'test.sh', '_venv.sh'}


def copy_sources(folder):
    """Copies what is built, so that nothing is left in the checkout."""
    ignored = shutil.ignore_patterns('__pycache__')
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder)


def files_below(folder):
    return {
        path.relative_to(folder): path
        for path in folder.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def run(*words, cwd, **variables):
    env = dict(os.environ, OMP_NUM_THREADS='1', **variables)
    # The repository is not to be found.
    env.pop('PYTHONPATH', None)
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """An environment with the wheel; gives its folder."""
    folder = tmp_path_factory.mktemp('wheel')
    sources, env = folder / 'sources', folder / 'env'
    sources.mkdir()
    copy_sources(sources)
    code = 'from setuptools import build_meta as b; b.build_wheel("..")'
    built = run(sys.executable, '-c', code, cwd=sources)
    (wheel,) = folder.glob('*.whl')
    assert built.returncode == 0
    shutil.rmtree(sources)
    venv.create(env, symlinks=True)
    (packages,) = env.glob('lib/python*/site-packages')
    # What this environment has, but for a path to the repository.
    others = [p for p in sys.path if Path(p).name.endswith('-packages')]
    (packages / 'others.pth').write_text('\n'.join(others))
    done = run(
        *(env / 'bin' / 'python', '-m', 'pip', 'install', '--no-index'),
        # Never to take anything out of the environment of the tests.
        *('--no-deps', '--ignore-installed', '--no-compile', wheel),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return packages / 'mmkd_custom'


def test_configs_and_tools_are_where_mim_looks(installed):
    for name in ('configs', 'tools'):
        ours = files_below(REPOSITORY / name)
        theirs = files_below(installed / '.mim' / name)
        lacking = {path.name for path in ours.keys() - theirs.keys()}
        assert lacking == (LEFT_OUT if name == 'tools' else set())
        assert theirs.keys() <= ours.keys()
        for path, file in theirs.items():
            assert file.read_bytes() == ours[path].read_bytes()
            executable = os.access(ours[path], os.X_OK)
            assert os.access(file, os.X_OK) == executable
    index = installed / '.mim' / 'model-index.yml'
    assert index.read_bytes() == (REPOSITORY / index.name).read_bytes()


@pytest.mark.slow
def test_an_empty_folder_is_enough_to_train(installed, tmp_path):
    mmkd = installed.parents[3] / 'bin' / 'mmkd'
    helped = run(mmkd, '--help', cwd=tmp_path)
    assert helped.returncode == 0
    for name in ('configs', 'tools'):
        assert str(installed / '.mim' / name) in helped.stdout
    assert str(REPOSITORY) not in helped.stdout

    make_domains(tmp_path / 'data')
    (tmp_path / 'mine.py').write_text(CONFIG)
    done = run(
        *(mmkd, 'train', 'mine.py', '--work-dir', 'run', '--cfg-options'),
        'model.teacher.teacher.pretrained=False',
        cwd=tmp_path,
        # A base of a base that the environment names.
        TEACHER='dinov2_vits14',
        DATA_ROOT='data',
        SOURCE='art',
        TARGET='photo',
        SEED='0',
    )
    assert done.returncode == 0, done.stderr
    assert {'student.pth', 'results.json'} <= set(os.listdir(tmp_path / 'run'))
    # Nothing that a user can do nothing about.
    assert done.stderr == ''
    lines = done.stdout.splitlines()
    known = ('Warning', 'will be deprecated')
    assert not [line for line in lines if any(w in line for w in known)]


def test_an_editable_installation_has_those_of_the_clone(tmp_path):
    clone = tmp_path / 'clone'
    clone.mkdir()
    copy_sources(clone)
    before = files_below(clone).keys()
    code = 'from setuptools import build_meta as b; b.build_editable("..")'
    done = run(sys.executable, '-c', code, cwd=clone)
    assert done.returncode == 0, done.stderr
    made = {path.parts[0] for path in files_below(clone).keys() - before}
    # Which git ignores.
    assert made <= {'build', 'mmkd_custom.egg-info'}
