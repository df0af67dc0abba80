"""What of a checkpoint could not be read back, found before it is written."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import Any, Iterator, Tuple

import torch
import torch.nn as nn
from mmengine.logging import HistoryBuffer

_SEQUENCES = (list, tuple)
_MAPPINGS = (dict, OrderedDict)


def unstorable(
    node: Any, where: Tuple[Any, ...] = ()
) -> Iterator[Tuple[Tuple[Any, ...], Any]]:
    """Finds what ``torch.load(weights_only=True)`` would refuse.

    Cheap: nothing of the tensors' content is looked at.

    Args:
        node (Any): A checkpoint, or a part of one.
        where (tuple): The keys that lead to it. Defaults to ().

    Yields:
        tuple[tuple, Any]: The keys that lead to an object, and the object.
    """
    if _reads_back(node):
        return
    if type(node) in _MAPPINGS:
        children = list(node.items())
    elif type(node) in _SEQUENCES:
        children = list(enumerate(node))
    else:
        yield where, node
        return
    found = False
    for key, value in children:
        for each in unstorable(value, (*where, key)):
            found = True
            yield each
    if not found:
        # A key of it.
        yield where, node


def _reads_back(node: Any) -> bool:
    buffer = io.BytesIO()
    # Whatever pickling somebody's object raises, it is not stored.
    try:
        torch.save(_light(node), buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception:
        return False
    return True


def _light(node: Any) -> Any:
    """Replaces what is known to be read back, and large, by little."""
    if type(node) in _MAPPINGS:
        return {key: _light(value) for key, value in node.items()}
    if type(node) in _SEQUENCES:
        return type(node)(_light(value) for value in node)
    known = type(node) in (torch.Tensor, nn.Parameter, HistoryBuffer)
    return None if known else node
