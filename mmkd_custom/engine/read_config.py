"""Config files with variables of the environment in them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, Union
from unittest import mock

from mmengine.config import Config

#: A variable inside a text, ``'{{$NAME:default}}'``; outside of one it is
#: ``{{'$NAME:default'}}``.
_IN_A_TEXT = re.compile(r'(?<![=(,\[])(?<![=(,\[] )\{\{\s*\$(\w+)\s*:')


def read_config(path: Union[str, Path]) -> Config:
    """Reads a config file, whatever the variables in it hold.

    MMEngine pastes a variable into the file's source, as the replacement of a
    regular expression. An apostrophe would end the text that it is in, and a
    backslash stand for something else.

    Args:
        path (str | Path): The config, plain or lazy.

    Returns:
        Config: As ``Config.fromfile`` gives it.
    """
    substitute = Config._substitute_env_variables

    def quoting(filename: str, temporary: str) -> Dict[str, str]:
        text = Path(filename).read_text(encoding='utf-8')
        names = {n for n in _IN_A_TEXT.findall(text) if n in os.environ}
        quoted = {name: _quoted(os.environ[name]) for name in names}
        with mock.patch.dict(os.environ, quoted):
            return substitute(filename, temporary)

    with mock.patch.object(
        Config, '_substitute_env_variables', staticmethod(quoting)
    ):
        return Config.fromfile(str(path))


def _quoted(value: str) -> str:
    """Gives the replacement that puts a value into a quoted text."""
    inside = re.sub(r'([\\\'"])', r'\\\1', value).replace('\n', r'\n')
    return inside.replace('\\', r'\\')
