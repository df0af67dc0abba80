"""Bars on a terminal, lines elsewhere, nothing of other ranks."""

import logging
import os
import sys
import time

import pytest

from mmkd_custom.utils import bars
from mmkd_custom.utils.bars import DISPLAY, frame
from mmkd_custom.utils.progress import Bar, no_bar_left, progress
from tests.terminal import cursor_is_back, plain, screen


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    return now


def on(monkeypatch, stream):
    monkeypatch.setattr(bars, 'DRAW_EVERY', 0)
    for name in ('stdout', 'stderr'):
        monkeypatch.setattr(sys, name, stream)


def test_lines_now_and_then_and_a_last_one(capsys, clock):
    with progress('filling', 600, 'images') as bar:
        for _ in range(6):
            clock[0] += 4
            bar.advance(100)
    out, err = capsys.readouterr()
    assert out == ''
    assert err.splitlines() == [
        'filling: 300/600 images, 25.0 images/s, 0:12 left',
        'filling: 600/600 images, 25.0 images/s, took 0:24',
    ]


def test_nothing_of_what_is_silenced(terminal, monkeypatch, capsys):
    with DISPLAY.silenced(), progress('inside', 1):
        pass
    with progress('after', 1):
        pass
    assert capsys.readouterr().err == 'after: 0/1, took 0:00\n'
    with terminal() as (stream, chunks):
        on(monkeypatch, stream)
        with DISPLAY.silenced(), progress('inside', 1) as bar:
            bar.advance()
    assert b''.join(chunks) == b''


@pytest.mark.parametrize(
    'total, unit, done, note, line',
    [
        (None, '', 0, '', 'a: took 1:02:03'),
        (None, 'cells', 0, 'b', 'a: 1 cells, took 1:02:03, b'),
        (8, '', 7, '', 'a: 8/8, took 1:02:03'),
        (8, 'x', 7, '', 'a: 8/8 x, took 1:02:03'),
    ],
)
def test_what_is_not_known_is_left_out(
    capsys, clock, total, unit, done, note, line
):
    with progress('a', total, unit, done) as bar:
        clock[0] += 3723
        # No line but the last.
        bar._told = clock[0]
        bar.note = note
        bar.advance()
    assert capsys.readouterr().err == f'{line}\n'


def test_time_left_counts_what_was_done_here(clock):
    bar = Bar('a', 100, 'x', done=50)
    clock[0] += 10
    bar.done = 60
    assert (bar.left, bar.rate) == ('0:40 left', '1.0 x/s')
    assert Bar('b', 0).left == ''


def test_no_lines_where_none_are_wanted_and_none_of_what_failed(capsys):
    with progress('a', 1, lines=False) as bar:
        bar.advance()
    with pytest.raises(ValueError):
        with progress('b', 1):
            raise ValueError
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('rank', ['0', '1'])
def test_other_ranks_are_silent(terminal, monkeypatch, capsys, rank):
    monkeypatch.setenv('RANK', rank)
    with progress('a', 1):
        pass
    assert bool(capsys.readouterr().err) == (rank == '0')
    with terminal() as (stream, chunks), monkeypatch.context() as patch:
        on(patch, stream)
        with progress('a', 1):
            pass
    assert bool(chunks) == (rank == '0')


def test_a_terminal_that_cannot_draw_gets_lines(terminal, monkeypatch):
    monkeypatch.setenv('TERM', 'dumb')
    with terminal() as (stream, chunks), monkeypatch.context() as patch:
        on(patch, stream)
        with progress('a', 1) as bar:
            bar.advance()
    assert b''.join(chunks).decode().split() == ['a:', '1/1,', 'took', '0:00']


def test_bars_within_bars_and_what_is_printed_above(terminal, monkeypatch):
    logger = logging.Logger('not one that `logging` knows')
    with terminal() as (stream, chunks), monkeypatch.context() as patch:
        on(patch, stream)
        logger.addHandler(logging.StreamHandler(stream))
        with progress('outer [1]', 2, 'images') as outer:
            print('printed')
            outer.advance()
            with progress('inner', 3) as inner:
                inner.note = 'loss 0.5'
                logger.warning('logged')
                for _ in inner.track(range(3)):
                    pass
            logger.warning('again')
        logger.warning('after')
        assert logger.handlers[0].stream is stream is sys.stdout
    text = b''.join(chunks).decode()
    assert screen(text)[:4] == ['printed', 'logged', 'again', 'after']
    assert not any(screen(text)[4:]) and cursor_is_back(text)
    for word in ('outer [1]', '1/2 images', 'inner', '0/3', 'inner: loss 0.5'):
        assert word in plain(text), word


def test_what_ends_it_leaves_the_terminal_clean(terminal, monkeypatch):
    handler = logging.StreamHandler(sys.stderr)
    with terminal() as (stream, chunks), monkeypatch.context() as patch:
        on(patch, stream)
        handler.setStream(stream)
        with pytest.raises(KeyboardInterrupt):
            with progress('a', 3), progress('b'):
                raise KeyboardInterrupt
        # A bar that nobody leaves, as that of a hook.
        entered = progress('c', 3)
        with pytest.raises(KeyboardInterrupt), no_bar_left():
            entered.__enter__()
            assert DISPLAY.live
            raise KeyboardInterrupt
        assert not DISPLAY.live
        assert handler.stream is stream is sys.stderr
    text = b''.join(chunks).decode()
    assert 'a' in text and 'c' in text
    assert not any(screen(text)) and cursor_is_back(text)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork')
def test_a_forked_process_writes_as_if_there_were_no_bar(
    terminal, monkeypatch
):
    with terminal() as (stream, chunks), monkeypatch.context() as patch:
        on(patch, stream)
        with progress('a', 3):
            child = os.fork()
            if not child:
                with progress('of the child', 1):
                    right = sys.stdout is stream
                os._exit(0 if right else 1)
            assert os.waitpid(child, 0)[1] == 0
            assert sys.stdout is not stream
    assert b'of the child' not in b''.join(chunks)


def test_a_frame_fits_a_narrow_terminal():
    from rich.console import Console

    shown = [Bar('epoch 12/300 customization', 4000, 'images', 10)] * 2
    shown[0].note = 'loss 1.234 · 812 images/s · macro-F1 71.2 after epoch 10'
    console = Console(width=60, record=True, file=open(os.devnull, 'w'))
    console.print(frame(shown))
    assert len(console.export_text().splitlines()) == 4
