"""A progress bar on a terminal, silence elsewhere."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress_bar() -> Progress:
    """Makes a bar on stderr that shows nothing unless it is a terminal.

    Returns:
        rich.progress.Progress: To be used as a context manager.
    """
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
        # What is written to a file stays there.
        redirect_stdout=sys.stdout.isatty(),
    )
