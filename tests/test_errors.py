"""Mistakes of the user: one sentence, and the exit codes of a tool."""

import os
import subprocess
import sys

import pytest
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset

from mmkd_custom.errors import UserError, nearest, run_cli

SENTENCE = 'image /a/b.jpg: expected a JPEG, got text.'


class _Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise UserError(SENTENCE)


def test_message_is_one_line():
    assert str(UserError('a:\n   b\n c.')) == 'a: b c.'


def test_worker_keeps_only_the_sentence():
    """torch rebuilds a worker's exception from its formatted traceback."""
    with pytest.raises(UserError) as caught:
        list(DataLoader(_Broken(), num_workers=1))
    assert str(caught.value) == SENTENCE


def refuse():
    raise UserError('x: expected 2, got 1.')


@pytest.mark.parametrize(
    'main, code, said',
    [
        (lambda: None, 0, ''),
        (lambda: 3, 3, ''),
        (refuse, 2, 'error: x: expected 2, got 1.\n'),
        (
            lambda: open('no/such/file'),
            2,
            'error: no/such/file: cannot be read or written '
            '(No such file or directory).\n',
        ),
    ],
)
def test_exit_codes(main, code, said, capsys):
    with pytest.raises(SystemExit) as left:
        run_cli(main)
    assert left.value.code == code
    assert capsys.readouterr().err == said


def test_defects_pass():
    with pytest.raises(ZeroDivisionError):
        run_cli(lambda: 1 / 0)

    def write():
        reader, writer = os.pipe()
        os.close(reader)
        os.write(writer, b'x')

    with pytest.raises(BrokenPipeError):
        run_cli(write)


def python(body, repo, **options):
    """Runs a tool of which the main function is given."""
    code = (
        'import argparse, logging, os, signal, sys\n'
        f'from mmkd_custom.errors import UserError, run_cli\n{body}'
    )
    return subprocess.run(
        [sys.executable, '-c', code], cwd=repo, text=True, **options
    )


@pytest.mark.parametrize(
    'body, code, said',
    [
        # Shown when the buffer is written, at the end or before.
        ("run_cli(lambda: print('a'))", 141, ''),
        (
            "run_cli(lambda: [print('a' * 99) for _ in range(9999)])",
            141,
            '',
        ),
        # Also when the tool exits by itself, as argparse does.
        (
            "run_cli(lambda: argparse.ArgumentParser().parse_args(['-h']))",
            141,
            '',
        ),
        (
            'logging.basicConfig(stream=sys.stdout)\n'
            "run_cli(lambda: logging.error('x'))",
            141,
            '',
        ),
        # What takes every error for the user's.
        (
            'def main():\n'
            '    try:\n'
            "        print('x', flush=True)\n"
            '    except Exception as error:\n'
            "        raise UserError('x') from error\n"
            'run_cli(main)',
            141,
            '',
        ),
        # A mistake is told although nobody reads the rest.
        (
            "def main():\n    raise UserError('x')\nrun_cli(main)",
            2,
            'error: x\n',
        ),
    ],
)
def test_closed_pipe_is_quiet(body, code, said, repo, monkeypatch):
    monkeypatch.delenv('PYTHONUNBUFFERED', raising=False)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = python(body, repo, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize('rank, said', [('0', 'interrupted\n'), ('1', '')])
def test_interruption_is_one_line_and_code_130(rank, said, repo):
    body = (
        'class HalfMade:\n'
        '    def __del__(self):\n'
        '        self.missing\n'
        'def main():\n'
        '    made = HalfMade()\n'
        '    os.kill(os.getpid(), signal.SIGINT)\n'
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
        'run_cli(main)'
    )
    env = {**os.environ, 'RANK': rank}
    done = python(body, repo, env=env, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (130, said)


@pytest.mark.parametrize(
    'name, known, half',
    [
        ('resnet5', ['resnet50', 'vit'], "nearest: 'resnet50'"),
        ('vit_b_16', ['ViT-B-16', 'convnext_base_w'], "nearest: 'ViT-B-16'"),
        ('zzz', ['b', 'a'], "there are: 'a', 'b'"),
        ('a', [], 'there are none'),
    ],
)
def test_nearest_names(name, known, half):
    assert nearest(name, known, count=1) == half


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
