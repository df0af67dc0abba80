"""Finding a submodule, and what it consumed during a forward."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, List

import torch
import torch.nn as nn

from ..errors import UserError, nearest


def get_module(model: nn.Module, path: str, option: str) -> nn.Module:
    """Returns a submodule by its dotted path.

    Args:
        model (nn.Module): The model to look in.
        path (str): Dotted path, such as ``head.fc``.
        option (str): Name of the configuration option, for the error.

    Raises:
        UserError: If there is none; the message lists the nearest names.
    """
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        known = [name for name, _ in model.named_modules() if name]
        raise UserError(
            f'{option}: expected a module of {type(model).__name__}, got '
            f'{path!r} ({nearest(path, known)}).'
        ) from error


@contextmanager
def record_inputs(module: nn.Module) -> Iterator[List[torch.Tensor]]:
    """Records the first positional input of each call of a module.

    Args:
        module (nn.Module): The module to listen to.

    Yields:
        list[Tensor]: Grows by one tensor per call; the tensors stay in the
        autograd graph.
    """
    calls: List[torch.Tensor] = []
    handle = module.register_forward_pre_hook(
        lambda _module, args: calls.append(args[0])
    )
    try:
        yield calls
    finally:
        handle.remove()
