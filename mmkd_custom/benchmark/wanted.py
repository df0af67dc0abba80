"""What the run of a config and some variables will be."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping

from mmengine.config import Config
from mmengine.logging import MMLogger

from ..engine.config import read_config
from ..engine.identity import identity
from ..engine.values import check_option_names, check_values
from ..errors import UserError


def wanted_run(
    path: Path, variables: Mapping[str, str], options: Mapping[str, Any]
) -> Dict[str, Any]:
    """Returns what will tell a config's run from others; no data is read.

    Args:
        path (Path): The config.
        variables (Mapping[str, str]): The environment in which it is read.
        options (Mapping[str, Any]): Dotted keys to new values.

    Returns:
        dict: From :func:`~mmkd_custom.engine.identity.identity`.

    Raises:
        UserError: If it cannot be read, or does not read the variables.
    """
    if not path.is_file():
        raise UserError(f'config {path}: expected a file, got none.')
    with _environment(variables):
        try:
            config = read_config(path)
            _check_read(config, variables)
            check_option_names(options, config)
            config.merge_from_dict(dict(options))
            check_values(config)
        except UserError:
            raise
        # A config is Python that the user wrote: anything can come out of it.
        except Exception as error:
            raise UserError(
                f'config {path}: expected one that can be read, got '
                f'{type(error).__name__}: {error}.'
            ) from error
    seed = (config.get('randomness') or {}).get('seed')
    return identity(config, seed=seed, task=config.get('task'))


def _check_read(config: Config, variables: Mapping[str, str]) -> None:
    """Refuses variables that the config does not read.

    Lazy configs do not tell what they read.
    """
    known = config.env_variables
    unread = [name for name in variables if name not in known]
    if known and unread:
        raise UserError(
            f'config {config.filename}: expected one that reads '
            f'{", ".join(unread)}, got one that reads '
            f'{", ".join(sorted(known))}.'
        )


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    logger = MMLogger.get_current_instance()
    level = logger.level
    # MMEngine tells of every variable that it replaces, here for every run.
    logger.setLevel(logging.WARNING)
    os.environ.update(variables)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
