"""The one exception for mistakes of the user, and how a tool reports it."""

from __future__ import annotations

import difflib
import errno
import gc
import logging
import os
import select
import signal
import sys
from contextlib import contextmanager
from typing import Callable, Iterable, Iterator, Optional

EXIT_USER_ERROR = 2
#: As a shell has it for a program that SIGINT or SIGPIPE has ended.
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141


class UserError(Exception):
    """The user's input is wrong.

    The message is one sentence that names the file, option or tensor:
    "expected X, got Y". Tools print it without a traceback and end
    with exit code 2; anything else that escapes is a defect.
    """

    def __init__(self, message: str) -> None:
        # A DataLoader worker's exception is rebuilt in the main process from
        # its formatted traceback: keep only the sentence.
        marker = f'{type(self).__name__}: '
        if message.startswith('Caught ') and marker in message:
            message = message.rsplit(marker, 1)[1]
        super().__init__(' '.join(message.split()))


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Names which of the known names are nearest to an unknown one.

    Args:
        name (str): The name that was not found.
        known (Iterable[str]): The names that exist.
        count (int): How many to name at the most. Defaults to 3.

    Returns:
        str: A half-sentence such as ``nearest: 'a', 'b'``, or ``there are
        none`` when nothing is known.
    """
    options = list(known)
    if not options:
        return 'there are none'
    # Whoever writes 'vit_b_16' means 'ViT-B-16'.
    lowered = {option.lower(): option for option in options}
    close = difflib.get_close_matches(
        name.lower(), lowered, n=count, cutoff=0.3
    )
    if close:
        return 'nearest: ' + ', '.join(repr(lowered[key]) for key in close)
    return 'there are: ' + ', '.join(
        repr(option) for option in sorted(options)[:10]
    )


#: What the place of a file is to blame for.
_PLACES = {
    getattr(errno, name)
    for name in (
        'EACCES EDQUOT EEXIST EFBIG EINVAL EISDIR ELOOP ENAMETOOLONG ENOENT '
        'ENOSPC ENOTDIR EPERM EROFS'
    ).split()
}
#: ... without knowing of which file.
_FULL = (errno.EDQUOT, errno.EFBIG, errno.ENOSPC)


@contextmanager
def naming_files() -> Iterator[None]:
    """Names which file cannot be read or written because of where it is.

    Raises:
        UserError: In place of the system's error about a file's place: a
            missing folder or permission, a folder in place of a file, a full
            disk.
    """
    try:
        yield
    except OSError as error:
        # A write to an open file does not know its name, but whose disk is
        # full is no defect.
        nameless = error.filename is None and error.errno not in _FULL
        if error.errno not in _PLACES or nameless:
            raise
        name = error.filename or 'a file'
        raise UserError(
            f'{name}: cannot be read or written ({error.strerror}).'
        ) from error


def run_cli(main: Callable[[], Optional[int]]) -> None:
    """Runs a tool's main function and exits the process.

    Args:
        main (Callable): The tool. Its return value is the exit code; None
            means 0. A :class:`UserError` becomes one line on stderr and exit
            code 2, Ctrl-C one line and 130. When nobody reads the output any
            more (``tool | head``), it ends with 141 and says nothing.
    """
    try:
        with _closed_pipes_raise():
            code = _code(main)
    except BrokenPipeError:
        if not _silence_closed():
            raise
        code = EXIT_CLOSED_PIPE
    # Here, where the objects of main's frames are gone.
    _leave_group(code)
    sys.exit(code)


def _code(main: Callable[[], Optional[int]]) -> int:
    try:
        with naming_files():
            return main() or 0
    except UserError as error:
        # What failed to read a config, say, may have failed to print.
        printing = isinstance(error.__context__, BrokenPipeError)
        if printing and _silence_closed():
            return EXIT_CLOSED_PIPE
        print(f'error: {error}', file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        # A second one does not wait for what is left to be done.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # What was being made cannot be taken apart, and would say so.
        sys.unraisablehook = lambda _: None
        # It reaches all ranks, and one line is enough.
        if os.environ.get('RANK', '0') == '0':
            print('interrupted', file=sys.stderr)
        return EXIT_INTERRUPTED
    finally:
        # Not when the interpreter ends: a closed pipe shows itself here.
        if sys.stdout is not None:
            sys.stdout.flush()


@contextmanager
def _closed_pipes_raise() -> Iterator[None]:
    """Has a log that nobody reads any more end the tool.

    ``logging`` would print a traceback for each line instead.
    """
    usual = logging.Handler.handleError

    def handle(handler: logging.Handler, record: logging.LogRecord) -> None:
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            raise  # noqa: PLE0704
        usual(handler, record)

    logging.Handler.handleError = handle
    try:
        yield
    finally:
        logging.Handler.handleError = usual


def _silence_closed() -> bool:
    """Sends what is left for pipes that nobody reads nowhere.

    Returns:
        bool: Whether stdout or stderr is such a pipe.
    """
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    closed = [fd for fd, event in poll.poll(0) if event & select.POLLERR]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in closed:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return bool(closed)


def _leave_group(code: int) -> None:
    """Ends the process group, if this process is in one.

    A group that is still open when the interpreter ends aborts the process
    now and then, because its threads are still running.

    Args:
        code (int): The exit code. Other than after success this exits.
    """
    dist = sys.modules.get('torch.distributed')
    if dist is None or not dist.is_available() or not dist.is_initialized():
        return
    if code == 0:
        dist.destroy_process_group()
    # Runner and loop hold each other, the model's reducer, which holds the
    # group, and loaders, whose workers end with them.
    gc.collect()
    if code != 0:
        bars = sys.modules.get('mmkd_custom.utils.bars')
        if bars is not None:
            # A terminal without a cursor is left behind otherwise.
            bars.DISPLAY.clear()
        # Ranks that wait for this one fail as soon as the group ends. Theirs
        # must not be the first exit code: a launcher reports that one.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
