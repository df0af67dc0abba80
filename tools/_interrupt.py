"""Imported before the libraries, which take seconds: Ctrl-C ends in a line.

Once a tool runs, ``mmkd_custom.errors.run_cli`` sees to it.
"""

import os
import sys


def end(kind, error, trace):
    """Is told of an exception that nobody has caught."""
    if issubclass(kind, KeyboardInterrupt):
        print('interrupted', file=sys.stderr)
        # What was to be cleaned up has not begun.
        os._exit(130)
    sys.__excepthook__(kind, error, trace)


sys.excepthook = end
