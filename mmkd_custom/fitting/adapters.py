"""What of a frozen teacher is trained, while it is: some of it, or all."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import Dict, Iterator

import timm.layers
import torch
import torch.nn as nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from ..errors import UserError
from ..models.outputs import FEATURE
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.wrappers.adapted import (
    FULL,
    LORA,
    MODES,
    NORM,
    lora_keys,
    value_key,
)

#: Normalisation layers; timm's own that derive from none of torch's come last.
NORM_LAYERS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm2d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    *(
        getattr(timm.layers, name)
        for name in ('RmsNorm', 'RmsNorm2d', 'SimpleNorm', 'SimpleNorm2d')
        if hasattr(timm.layers, name)
    ),
)

Trained = Dict[str, nn.Parameter]


@contextmanager
def adapters(
    teacher: FrozenTeacher,
    mode: str,
    example: torch.Tensor,
    rank: int = 8,
    alpha: float = 16.0,
) -> Iterator[Trained]:
    """Makes part of a teacher trainable for the length of a ``with`` block.

    ``teacher.encode`` then computes features with a gradient. The teacher
    stays in ``eval()``, so the statistics of BatchNorm do not move. On the
    way out, exceptions included, it is as it was, byte for byte, and frozen.

    Args:
        teacher (FrozenTeacher): In float32.
        mode (str): 'norm' trains the affine parameters of the normalisation
            layers (EZAD). 'lora' adds (alpha / r) B A, with B = 0 at first,
            to the weights of linear layers and of 1x1 convolutions, but for
            what reads a weight instead of calling its layer, such as
            ``nn.MultiheadAttention``. 'full' trains all parameters. In any
            case only where the feature goes through.
        example (Tensor): One prepared image (1, 3, H, W), to see where.
        rank (int): Rank r of the update in mode 'lora'. Defaults to 8.
        alpha (float): Its scale, likewise. Defaults to 16.0.

    Yields:
        dict[str, nn.Parameter]: What is trained, by its name in
        :class:`~mmkd_custom.models.teachers.wrappers.adapted.Adaptation`.

    Raises:
        UserError: If there is no such mode, nothing of the kind in the
            teacher, it only asks other teachers, or ``peft`` is needed and
            not installed.
    """
    if mode not in MODES:
        raise UserError(
            f'mode: expected one of {", ".join(MODES)}, got {mode!r}.'
        )
    if mode == LORA:
        scope = _lora(teacher, rank, alpha)
    else:
        scope = _values(teacher, mode)
    with scope as found:
        try:
            for parameter in found.values():
                parameter.requires_grad_(True)
            yield _used(teacher, mode, found, example)
        finally:
            for parameter in found.values():
                parameter.requires_grad_(False)
                parameter.grad = None


def norm_parameters(teacher: nn.Module) -> Trained:
    """Returns the affine parameters of normalisation layers, by name.

    Args:
        teacher (nn.Module): Any network.
    """
    return {
        f'{name}.{own}': parameter
        for name, module in teacher.named_modules()
        if isinstance(module, NORM_LAYERS)
        for own, parameter in module.named_parameters(recurse=False)
    }


def _used(
    teacher: FrozenTeacher, mode: str, found: Trained, example: torch.Tensor
) -> Trained:
    """Returns those that the feature is computed from."""
    grads = [None] * len(found)
    with torch.enable_grad():
        feature = teacher.encode(example, (FEATURE,)).feature
        if feature.requires_grad:
            grads = torch.autograd.grad(
                feature.sum(), list(found.values()), allow_unused=True
            )
    used = {n: p for (n, p), g in zip(found.items(), grads) if g is not None}
    if not used:
        layers, other = dict(
            norm=('normalisation layers with parameters', FULL),
            lora=('linear layers that are called', FULL),
            full=('parameters', NORM),
        )[mode]
        raise UserError(
            f'teacher {teacher.name}: mode={mode!r}: expected {layers} that '
            f'its feature goes through, got none; take mode={other!r}, or '
            'adapt the teachers that this one asks.'
        )
    return used


@contextmanager
def _values(teacher: FrozenTeacher, mode: str) -> Iterator[Trained]:
    if mode == NORM:
        found = norm_parameters(teacher)
    else:
        found = dict(teacher.named_parameters())
    before = {name: p.detach().clone() for name, p in found.items()}
    try:
        yield {value_key(mode, name): p for name, p in found.items()}
    finally:
        for name, parameter in found.items():
            parameter.data.copy_(before[name])


@contextmanager
def _lora(
    teacher: FrozenTeacher, rank: int, alpha: float
) -> Iterator[Trained]:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(
            f'mode={LORA!r}: expected the library peft, got an error as it '
            f'was imported ({error}): pip install peft.'
        ) from error
    linears = {
        path: module
        for path, module in teacher.named_modules()
        if _is_linear(module)
    }
    found: Trained = {}
    try:
        if linears:
            config = LoraConfig(
                r=rank,
                lora_alpha=alpha,
                # Not a list: peft takes its names for ends of names.
                target_modules='|'.join(map(re.escape, linears)),
                lora_dropout=0.0,
                bias='none',
            )
            inject_adapter_in_model(config, teacher)
        for path in linears:
            layer = teacher.get_submodule(path)
            parts = (layer.lora_A, layer.lora_B)
            values = [part['default'].weight for part in parts]
            found.update(zip(lora_keys(f'{path}.weight'), values))
        yield found
    finally:
        # What peft notes on a model that it wrapped.
        vars(teacher).pop('peft_config', None)
        for path, layer in linears.items():
            parent, _, child = path.rpartition('.')
            nn.Module.__setattr__(teacher.get_submodule(parent), child, layer)
        teacher.requires_grad_(False)
        teacher.eval()


def _is_linear(module: nn.Module) -> bool:
    for kind in (nn.Conv2d, nn.Linear):
        # Standardised layers compute with another weight than they have.
        if isinstance(module, kind) and type(module).forward != kind.forward:
            return False
    if isinstance(module, nn.Conv2d):
        # A linear layer of each position; a stride changes nothing of that.
        return module.kernel_size == (1, 1) and module.groups == 1
    # The other is inside nn.MultiheadAttention.
    return isinstance(module, nn.Linear) and not isinstance(
        module, NonDynamicallyQuantizableLinear
    )
