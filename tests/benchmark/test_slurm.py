"""Submitting a benchmark, with programs in PATH in place of Slurm's."""

import stat
import time

import pytest

from mmkd_custom.benchmark.slurm import job_name, submit_cells
from mmkd_custom.errors import UserError


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Puts programs in PATH; gives a function that sets what is queued."""
    folder = tmp_path / 'bin'
    folder.mkdir()

    def queued(*names, code=0):
        lines = ''.join(f'echo {name}\n' for name in names)
        for name, text in dict(
            srun='', squeue=f'{lines}exit {code}\n'
        ).items():
            path = folder / name
            path.write_text(f'#!/bin/sh\n{text}')
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv('PATH', f'{folder}:/usr/bin:/bin')
    return queued


def command(cell):
    """Says its seed after a while, as srun returns long after its call."""
    return ['sh', '-c', 'sleep 1; echo "seed $SEED"']


def test_only_what_is_neither_there_nor_queued(cells, slurm):
    cells[0].work_dir.mkdir(parents=True)
    finished = '{"last": {}, "oracle": {}}'
    (cells[0].work_dir / 'results.json').write_text(finished)
    slurm('other', job_name(cells[1]))
    said, start = [], time.monotonic()
    assert submit_cells(cells, command, said.append) == [cells[2]]
    assert any('seed 1' in line for line in said)
    assert not cells[1].log.exists()
    # It did not wait, and the job goes on.
    while cells[2].log.read_text() != 'seed 2\n':
        assert time.monotonic() - start < 300
        time.sleep(0.05)
    said.clear()
    submit_cells(cells[2:], command, said.append)
    # The last line of the attempt before.
    assert said[0].endswith('seed 2')


def test_names_of_jobs(cells):
    assert len({job_name(cell) for cell in cells}) == 3
    # squeue cuts nothing of it, and it needs no quotes.
    assert job_name(cells[0]).replace('_', '').isalnum()


def test_no_slurm(cells, slurm, monkeypatch):
    slurm(code=1)
    with pytest.raises(UserError, match='squeue'):
        submit_cells(cells, command)
    monkeypatch.setenv('PATH', '/nowhere')
    with pytest.raises(UserError, match='srun'):
        submit_cells(cells, command)
    assert not cells[0].work_dir.exists()
