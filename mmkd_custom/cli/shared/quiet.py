"""Known warnings of other packages, silenced by name while a command runs.

Nobody who runs a command can do anything about these. Anything else is shown,
and who imports the package as a library keeps all of them.
"""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import contextmanager
from typing import Iterator

#: How a warning begins, as a regular expression, and whose it is.
WARNINGS = {
    # mmcv-lite has no compiled operators, and no network here wants them.
    'Fail to import ``MultiScaleDeformableAttention``': 'mmcv',
    # About a change of 2022, told whenever MMCV is imported.
    r'In MMCV v1\.4\.4, we modified the default value of args': 'mmcv',
    # MMEngine imports it to find 'mmpretrain::' configs.
    'pkg_resources is deprecated as an API': 'mmengine',
    # What MMEngine's wrapper of DDP passes on has a new name.
    '`broadcast_buffers` is deprecated': 'mmengine',
    # One layout of a depthwise kernel has two names, and DDP wonders.
    'Grad strides do not match bucket view strides': 'torch',
    # Without an accelerator there is nothing to pin, and nothing is lost.
    "'pin_memory' argument is set as true but no accelerator": 'torch',
}
#: The same of what MMEngine writes into its log.
LOG = {
    # MMEngine's own CheckpointHook calls what MMEngine advises against.
    '"FileClient" will be deprecated in future',
    '"HardDiskBackend" is the alias of "LocalBackend"',
}


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves out what is known, in this process and those forked from it."""
    known = re.compile('|'.join(map(re.escape, LOG)))
    usual = logging.Logger.filter

    def keep(logger: logging.Logger, record: logging.LogRecord) -> bool:
        return not known.match(record.getMessage()) and usual(logger, record)

    # MMEngine makes a logger for every run.
    logging.Logger.filter = keep
    try:
        with warnings.catch_warnings():
            for message in WARNINGS:
                warnings.filterwarnings('ignore', message=message)
            yield
    finally:
        logging.Logger.filter = usual
