"""What ``--cfg-options`` says, as values of a config."""

from __future__ import annotations

import argparse
from typing import Any, Dict, Sequence

from mmengine.config import DictAction

from ..errors import UserError


def parse_options(words: Sequence[str]) -> Dict[str, Any]:
    """Reads options as all of OpenMMLab's tools do.

    Args:
        words (Sequence[str]): Of the form ``key=value``.

    Returns:
        dict[str, Any]: Dotted keys to values.

    Raises:
        UserError: If the brackets of a value do not match.
    """
    found = argparse.Namespace(options={})
    read = DictAction(['--cfg-options'], 'options')
    try:
        read(argparse.ArgumentParser(), found, words)
    except AssertionError as error:
        raise UserError(
            f'--cfg-options {" ".join(words)}: expected brackets that match.'
        ) from error
    return found.options
