"""Named taps: what a submodule consumed or returned during a forward."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Dict, Iterator, List

import torch
import torch.nn as nn

from ..errors import UserError, nearest


def get_module(model: nn.Module, path: str, option: str) -> nn.Module:
    """Finds a submodule by its dotted path.

    Args:
        model (nn.Module): The model to look in.
        path (str): Dotted path, such as ``head.fc``.
        option (str): Name of the configuration option, for the error.

    Returns:
        nn.Module: The submodule.

    Raises:
        UserError: If there is none; the message lists the nearest names.
    """
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        known = [name for name, _ in model.named_modules() if name]
        raise UserError(
            f'{option}={path!r} is no module of {type(model).__name__} '
            f'({nearest(path, known)}).'
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


@contextmanager
def record_outputs(
    modules: Dict[str, nn.Module],
) -> Iterator[Dict[str, torch.Tensor]]:
    """Records the last output of each of several modules, in call order.

    Args:
        modules (dict[str, nn.Module]): The modules to listen to, by name.

    Yields:
        dict[str, Tensor]: Name to last output; iteration order is the order
        of the last calls.
    """
    outputs: Dict[str, torch.Tensor] = {}

    def listen(name: str):

        def hook(_module, _args, output):
            outputs.pop(name, None)
            outputs[name] = output

        return hook

    handles = [
        module.register_forward_hook(listen(name))
        for name, module in modules.items()
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
