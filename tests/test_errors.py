import os
import subprocess
import sys

import pytest
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset

from mmkd_custom.errors import UserError, nearest, run_cli


class _Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise UserError(
            'image /a/b.jpg: cannot be read, but a JPEG is wanted.'
        )


def _run(body, repo):
    code = f'from mmkd_custom.errors import UserError, run_cli\n{body}'
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=repo,
        capture_output=True,
        text=True,
    )


def test_message_is_one_line():
    assert str(UserError('a:\n   b\n c.')) == 'a: b c.'


def test_worker_keeps_only_the_sentence():
    """torch rebuilds a worker's exception from its formatted traceback."""
    with pytest.raises(UserError) as caught:
        list(DataLoader(_Broken(), num_workers=1))
    assert str(caught.value) == (
        'image /a/b.jpg: cannot be read, but a JPEG is wanted.'
    )


def test_run_cli_user_error_is_one_line_and_code_2(repo):
    done = _run(
        "def main():\n    raise UserError('x: got 1, wanted 2.')\n"
        'run_cli(main)',
        repo,
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == (
        'error: x: got 1, wanted 2.'
    )
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('result, code', [('None', 0), ('0', 0), ('3', 3)])
def test_run_cli_returns_the_code_of_main(result, code, repo):
    assert _run(f'run_cli(lambda: {result})', repo).returncode == code


def test_run_cli_lets_defects_through(repo):
    done = _run('run_cli(lambda: 1 / 0)', repo)
    assert done.returncode == 1
    assert 'ZeroDivisionError' in done.stderr


def _closed_pipe(body, repo, both=False):
    """Runs with a stdout that nobody reads; gives (exit code, stderr)."""
    reader, writer = os.pipe()
    os.close(reader)
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONUNBUFFERED'}
    try:
        done = subprocess.run(
            [
                sys.executable,
                '-c',
                f'from mmkd_custom.errors import UserError, run_cli\n{body}',
            ],
            cwd=repo,
            env=env,
            stdout=writer,
            stderr=writer if both else subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    'body',
    [
        # Shown when the buffer is written, at the end or before.
        "run_cli(lambda: print('a'))",
        "run_cli(lambda: [print('a' * 100) for _ in range(10_000)] and 0)",
        # Also when the tool exits by itself, as argparse does.
        'import argparse\n'
        'parse = argparse.ArgumentParser().parse_args\n'
        "run_cli(lambda: parse(['--help']))",
        'import logging, sys\n'
        'logging.basicConfig(stream=sys.stdout)\n'
        "run_cli(lambda: logging.error('x'))",
        # What takes every error for the user's.
        'def main():\n'
        '    try:\n'
        "        print('x', flush=True)\n"
        '    except Exception as error:\n'
        "        raise UserError('x') from error\n"
        'run_cli(main)',
    ],
)
def test_a_closed_pipe_is_quiet(body, repo):
    assert _closed_pipe(body, repo) == (141, '')


def test_a_mistake_is_told_although_nobody_reads_stdout(repo):
    body = "def main():\n    raise UserError('x')\nrun_cli(main)"
    assert _closed_pipe(body, repo) == (2, 'error: x\n')
    assert _closed_pipe(body, repo, both=True)[0] == 141


def test_another_broken_pipe_is_a_defect(repo):
    done = _run(
        'import os\n'
        'def main():\n'
        '    reader, writer = os.pipe()\n'
        '    os.close(reader)\n'
        "    os.write(writer, b'x')\n"
        'run_cli(main)',
        repo,
    )
    assert done.returncode == 1
    assert 'BrokenPipeError' in done.stderr


@pytest.mark.parametrize('rank, said', [(None, 'interrupted\n'), ('1', '')])
def test_an_interruption_is_one_line_and_code_130(rank, said, repo):
    code = (
        'import os, signal\n'
        'from mmkd_custom.errors import run_cli\n'
        'class HalfMade:\n'
        '    def __del__(self):\n'
        '        self.missing\n'
        'def main():\n'
        '    made = HalfMade()\n'
        '    os.kill(os.getpid(), signal.SIGINT)\n'
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        'run_cli(main)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=repo,
        env={**os.environ, **({} if rank is None else dict(RANK=rank))},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (130, said)


def test_nearest_names_what_is_close():
    names = ['resnet50', 'resnet18', 'vit_base', 'swin']
    assert nearest('resnet5', names, count=1) == "nearest: 'resnet50'"


def test_nearest_does_not_mind_the_case():
    names = ['ViT-B-16', 'convnext_base_w']
    assert nearest('vit_b_16', names, count=1) == "nearest: 'ViT-B-16'"


def test_nearest_without_anything_close_lists_all():
    assert nearest('zzz', ['b', 'a']) == "there are: 'a', 'b'"


def test_nearest_of_nothing():
    assert nearest('a', []) == 'there are none'


def test_a_process_group_is_ended(tmp_path):
    def main():
        store = dist.FileStore(str(tmp_path / 'store'), 1)
        dist.init_process_group('gloo', rank=0, world_size=1, store=store)

    try:
        with pytest.raises(SystemExit) as left:
            run_cli(main)
        assert not dist.is_initialized()
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    assert left.value.code == 0


RANK = """
import sys
import torch
import torch.distributed as dist
from mmkd_custom.errors import UserError, run_cli


def main():
    rank = int(sys.argv[1])
    store = dist.FileStore(sys.argv[2], 2)
    dist.init_process_group('gloo', rank=rank, world_size=2, store=store)
    dist.all_reduce(torch.ones(1))
    if rank == 0:
        raise UserError('no such file.')
    dist.all_reduce(torch.ones(1))


run_cli(main)
"""


@pytest.mark.slow
def test_the_mistaken_rank_ends_before_those_that_wait_for_it(tmp_path, repo):
    ranks = [
        subprocess.Popen(
            [sys.executable, '-c', RANK, str(rank), tmp_path / 'store'],
            cwd=repo,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        ranks[1].communicate(timeout=1000)
        # A launcher reports the code of the first that has failed.
        assert ranks[0].poll() == 2
        assert ranks[1].returncode not in (0, 2)
        assert ranks[0].communicate()[1].endswith('error: no such file.\n')
    finally:
        for rank in ranks:
            rank.kill()
