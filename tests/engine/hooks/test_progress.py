"""A bar on a terminal, the log's own lines elsewhere."""

import re
import subprocess
import sys

import pytest

from mmkd_custom.engine.launch import train
from mmkd_custom.utils import bars
from tests.cli import REPOSITORY, environment
from tests.terminal import HIDE, cursor_is_back, plain, screen

SHORT = {'train_dataloader.sampler.epoch_length': 5}


@pytest.fixture
def trained(small_config, terminal, monkeypatch):
    """Trains on a pseudo-terminal; gives what it shows."""

    def run(out=True, **options):
        with terminal() as (stream, chunks), monkeypatch.context() as patch:
            for name in ('stdout', 'stderr') if out else ('stderr',):
                patch.setattr(sys, name, stream)
            patch.setattr(bars, 'DRAW_EVERY', 0)
            train(small_config(**SHORT, **options))
        return b''.join(chunks).decode()

    return run


def test_a_terminal_shows_the_bar_and_evaluations_the_file_all(
    trained, tmp_path
):
    text = trained(validate=True, epochs=4)
    shown = plain(text)
    assert 'epoch 4/4 distillation' in shown and '20/20' in shown
    assert re.search(r'loss \d+\.\d+ · \d+ images/s · macro-F1 \d', shown)
    lines = [plain(line) for line in screen(text)]
    assert lines[-1] == '' and cursor_is_back(text)
    lines = [line for line in lines if ' - INFO - ' in line]
    assert sum('Epoch(val)' in line for line in lines) == 2
    for hidden in ('Epoch(train)', 'Config:', 'Epoch 2/4', 'Saving'):
        assert not [line for line in lines if hidden in line], hidden
    # Not torn: each begins with its time.
    assert all(re.match(r'\d\d/\d\d \d\d:', line) for line in lines)
    (log,) = (tmp_path / 'work').glob('*/*.log')
    kept = log.read_text()
    for word in ('Epoch(train)', 'Config:', 'Epoch(val)', 'Saving'):
        assert word in kept, word


def test_debug_shows_all(trained):
    text = trained(log_level='DEBUG')
    assert 'Epoch(train)' in text and 'Config:' in text and '10/10' in text


def test_no_terminal_no_bar_and_all_lines(small_config, capfd):
    train(small_config(**SHORT))
    out, err = capfd.readouterr()
    assert 'Epoch(train)' in out and 'Config:' in out
    assert HIDE not in out + err and '10/10' not in err


def test_lines_where_there_is_no_terminal_if_asked_for(small_config, capfd):
    def ask(config):
        (hook,) = [h for h in config.custom_hooks if h.type == 'ProgressHook']
        hook.lines = True

    train(small_config(**SHORT, edit=ask))
    assert '10/10' in capfd.readouterr().err


def test_lines_of_a_run_whose_config_has_none(small_config, capfd):
    config = small_config(**SHORT)
    train(config, lines=True)
    assert '10/10' in capfd.readouterr().err
    # Which tools/train.py may go on with.
    (hook,) = [h for h in config.custom_hooks if h.type == 'ProgressHook']
    assert 'lines' not in hook


def test_a_resumed_run_starts_where_it_left(trained, small_config, capsys):
    train(small_config(**SHORT))
    capsys.readouterr()
    text = plain(trained(out=False, epochs=3, resume='work/epoch_2.pth'))
    assert '10/15' in text and '15/15' in text
    assert not re.search(r'\b0/15', text)
    # Where the log is a file, it is whole.
    assert 'Epoch(train)' in capsys.readouterr().out


ABORTED = """
import logging
from types import SimpleNamespace
from mmkd_custom.engine import ProgressHook
runner = SimpleNamespace(max_iters=10, iter=0, logger=logging.getLogger())
ProgressHook().before_train(runner)
raise KeyboardInterrupt
"""


@pytest.mark.slow
def test_aborted_run_gives_the_cursor_back(terminal):
    with terminal() as (stream, chunks):
        process = subprocess.run(
            [sys.executable, '-c', ABORTED],
            cwd=REPOSITORY,
            env=environment(),
            stderr=stream,
            stdout=subprocess.DEVNULL,
            timeout=1000,
        )
    text = b''.join(chunks).decode()
    assert process.returncode != 0
    assert HIDE in text and cursor_is_back(text)
