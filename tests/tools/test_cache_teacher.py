"""The tool as a user calls it, killed, and on two ranks."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import (
    REPOSITORY,
    TINY,
    environment,
    free_port,
    kill_when,
    run_tool,
)
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'


@pytest.fixture
def domains(tmp_path):
    root = make_domains(tmp_path / 'data', per_class=10)
    return dict(DATA_ROOT=str(root), SOURCE='art', TARGET='photo')


def arguments(work_dir, *more, options=()):
    return [
        CONFIG,
        '--work-dir',
        work_dir,
        *more,
        '--cfg-options',
        *TINY,
        *options,
    ]


@pytest.mark.slow
def test_filled_verified_and_trained_on(tmp_path, domains):
    ran = run_tool(
        'cache_teacher.py',
        *arguments(tmp_path / 'work', '--verify', '30'),
        **domains,
    )
    assert ran.returncode == 0, ran.stderr
    assert '240 entries of 516 bytes, 0.1 MB; 240 computed' in ran.stdout
    assert '30 entries computed anew' in ran.stdout
    ran = run_tool(
        'train.py',
        *arguments(
            tmp_path / 'work',
            '--no-validate',
            options=['train_cfg.max_epochs=2'],
        ),
        **domains,
    )
    assert ran.returncode == 0, ran.stderr
    assert 'complete.' in ran.stdout + ran.stderr
    assert len(list(tmp_path.rglob('manifest.json'))) == 1


@pytest.mark.slow
def test_a_mistake_is_one_sentence(tmp_path, domains):
    ran = run_tool(
        'cache_teacher.py',
        *arguments(tmp_path / 'work', '--batch-size', '0'),
        **domains,
    )
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith('error: --batch-size')
    assert 'Traceback' not in ran.stderr
    assert not (tmp_path / 'work').exists()


def _entries(folder: Path) -> int:
    path = folder / 'checksums.u32'
    if not path.is_file():
        return 0
    content = path.read_bytes()
    return sum(
        content[i : i + 4] != b'\0\0\0\0' for i in range(0, len(content), 4)
    )


@pytest.mark.slow
def test_killed_while_filling(tmp_path, domains):
    folder = tmp_path / 'cache'
    slowly = ['--cache-dir', folder, '--batch-size', '1']
    for _ in range(5):
        kill_when(
            lambda: _entries(folder) >= 5,
            0,
            'cache_teacher.py',
            *arguments(tmp_path / 'work', *slowly),
            **domains,
        )
        there = _entries(folder)
        if there < 240:
            break
        # It was quicker.
        shutil.rmtree(folder)
    assert 5 <= there < 240
    ran = run_tool(
        'cache_teacher.py',
        *arguments(
            tmp_path / 'work', '--cache-dir', folder, '--verify', '240'
        ),
        **domains,
    )
    assert ran.returncode == 0, ran.stderr
    assert f'{240 - there} computed' in ran.stdout
    assert '240 entries computed anew' in ran.stdout


@pytest.mark.slow
def test_two_ranks_share_one_cache(tmp_path, domains):
    ran = subprocess.run(
        [
            sys.executable,
            REPOSITORY / 'tools' / '_torchrun.py',
            '--nproc_per_node=2',
            f'--master_port={free_port()}',
            REPOSITORY / 'tools' / 'cache_teacher.py',
            *map(
                str,
                arguments(
                    tmp_path / 'work',
                    '--launcher',
                    'pytorch',
                    '--verify',
                    '60',
                ),
            ),
        ],
        env=environment(**domains),
        capture_output=True,
        text=True,
        timeout=1000,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count('240 entries of 516 bytes') == 1
    assert '60 entries computed anew' in ran.stdout
    assert _entries(tmp_path / 'work' / 'teacher_cache') == 240
