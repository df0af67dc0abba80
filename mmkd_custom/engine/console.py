"""What of a run's log a terminal shows; the log file has all of it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import logger_hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from ..utils.bars import DISPLAY, on_terminal

#: The option that holds what :func:`begin_log` was told.
BEGINNING = 'log_beginning'
_PACKAGE = str(Path(__file__).resolve().parents[1])


def begin_log(config: Config, sentence: str) -> None:
    """Has a run's log begin with a sentence.

    While a config is read there is no log yet, and each rank reads it. So the
    sentence is kept in the config, where it decides nothing.

    Args:
        config (Config): Of the run; changed in place.
        sentence (str): What was decided while it was read.
    """
    config[BEGINNING] = [*(config.get(BEGINNING) or ()), sentence]


class Telling(logging.Filter):
    """Keeps warnings, evaluations, and what our hooks say between bars.

    The environment, the config, what datasets print and the lines of every
    ten iterations, which fill a screen a minute, are for the file: the bar
    tells where a run is.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a terminal shows this record."""
        if record.levelno >= logging.WARNING:
            return True
        if record.pathname == logger_hook.__file__:
            return record.funcName in ('after_val_epoch', 'after_test_epoch')
        return record.pathname.startswith(_PACKAGE) and not DISPLAY.live


def quieten(logger: logging.Logger) -> None:
    """Has a logger show a terminal :class:`Telling` lines only.

    Nothing changes where stdout or stderr is no terminal, and with
    ``log_level = 'DEBUG'``.

    Args:
        logger (logging.Logger): A runner's.
    """
    for handler in logger.handlers:
        if (
            type(handler) is logging.StreamHandler
            and handler.level > logging.DEBUG
            and sys.stdout.isatty()
            and on_terminal()
            and not any(isinstance(f, Telling) for f in handler.filters)
        ):
            handler.addFilter(Telling())


class ConsoleRunner(Runner):
    """MMEngine's runner whose log leaves a terminal readable.

    It begins with what :func:`begin_log` was told.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Builds the logger, whose first lines come at once."""
        logger = super().build_logger(*args, **kwargs)
        quieten(logger)
        for sentence in self.cfg.get(BEGINNING) or ():
            logger.info(sentence)
        return logger
