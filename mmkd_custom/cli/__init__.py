"""The commands: one a file. ``mmkd NAME`` and ``tools/NAME.py`` run it.

Nothing is imported before a command has read its arguments: not here, and no
library at the head of a command's file.
"""

import os
import sys


def end_in_one_line() -> None:
    """Has Ctrl-C end the process in one line before a command has begun.

    From then on :func:`mmkd_custom.errors.run_cli` sees to it.
    """
    sys.excepthook = _end


def _end(kind, error, trace) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print('interrupted', file=sys.stderr)
        # What was to be cleaned up has not begun.
        os._exit(130)
    sys.__excepthook__(kind, error, trace)


def run(name: str) -> None:
    """Runs a command with the arguments of this process, and exits.

    Args:
        name (str): A file of this folder, or of ``teachers``, without
            ``.py``.
    """
    end_in_one_line()
    from ..errors import run_cli

    run_cli(lambda: _call(name))


def main() -> None:
    """The console script ``mmkd``: runs the command that is named first."""
    end_in_one_line()
    from ..errors import run_cli

    run_cli(_mmkd)


def _mmkd():
    from ..version import __version__
    from .shared.commands import find, overview

    word, *rest = sys.argv[1:] or ['']
    if word in ('', '-h', '--help'):
        print(overview())
        return 0 if word else 2
    if word == '--version':
        print(f'mmkd_custom {__version__}')
        return 0
    name = find(word)
    # What the command calls itself in its usage.
    sys.argv = [f'mmkd {word}', *rest]
    return _call(name)


def _call(name: str):
    from importlib import import_module

    from .shared.commands import module_of
    from .shared.quiet import quiet

    with quiet():
        return import_module(f'{__name__}.{module_of(name)}').main()
