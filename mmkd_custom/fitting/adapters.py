"""What of a frozen teacher is trained, while it is: norm layers or LoRA."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, Sequence, Set, Tuple

import timm.layers
import torch
import torch.nn as nn
from torch.nn.utils import parametrize

from ..errors import UserError
from ..models.outputs import FEATURE
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.wrappers.adaptation import (
    LORA,
    MODES,
    NORM,
    lora_keys,
    norm_key,
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

#: Weights of ``nn.MultiheadAttention`` that belong to no linear layer.
_IN_PROJECTIONS = (
    'in_proj_weight',
    'q_proj_weight',
    'k_proj_weight',
    'v_proj_weight',
)


@contextmanager
def adapters(
    teacher: FrozenTeacher,
    mode: str,
    example: torch.Tensor,
    rank: int = 8,
    alpha: float = 16.0,
) -> Iterator[Dict[str, nn.Parameter]]:
    """Makes part of a teacher trainable for the length of a ``with`` block.

    ``teacher.encode`` then gives features with a gradient. The teacher stays
    in ``eval()``, so the statistics of BatchNorm do not move. On the way out,
    exceptions included, it is as it was, byte for byte, and frozen.

    Args:
        teacher (FrozenTeacher): In float32.
        mode (str): 'norm' trains the affine parameters of the normalisation
            layers (EZAD). 'lora' adds (alpha / r) B A, with B = 0 at first,
            to the weights of linear layers and of
            ``nn.MultiheadAttention``. Either way only where the feature goes
            through.
        example (Tensor): One prepared image (1, 3, H, W), to see where.
        rank (int): Rank r of the update in mode 'lora'. Defaults to 8.
        alpha (float): Its scale, likewise. Defaults to 16.0.

    Yields:
        dict[str, nn.Parameter]: What is trained, by its name in
        :class:`~mmkd_custom.models.teachers.wrappers.adaptation.Adaptation`.

    Raises:
        UserError: If there is no such mode, nothing of the kind in the
            teacher, it only asks other teachers, or ``peft`` is wanted and
            not installed.
    """
    if mode not in MODES:
        raise UserError(f'mode={mode!r} is not one of {", ".join(MODES)}.')
    used, called = _trace(teacher, example)
    scope = (
        _norm(teacher, used)
        if mode == NORM
        else _lora(teacher, used, called, rank, alpha)
    )
    with scope as trained:
        for parameter in trained.values():
            parameter.requires_grad_(True)
        try:
            yield trained
        finally:
            for parameter in trained.values():
                parameter.requires_grad_(False)
                parameter.grad = None


def norm_parameters(teacher: nn.Module) -> Dict[str, nn.Parameter]:
    """Finds the affine parameters of normalisation layers, by type.

    Args:
        teacher (nn.Module): Any network.

    Returns:
        dict[str, nn.Parameter]: By name, in the network's order.
    """
    found = {}
    for name, module in teacher.named_modules():
        if isinstance(module, NORM_LAYERS):
            for own, parameter in module.named_parameters(recurse=False):
                found[f'{name}.{own}'] = parameter
    return found


@contextmanager
def _norm(
    teacher: FrozenTeacher, used: Set[int]
) -> Iterator[Dict[str, nn.Parameter]]:
    trained = {
        norm_key(name): parameter
        for name, parameter in norm_parameters(teacher).items()
        if id(parameter) in used
    }
    if not trained:
        raise UserError(
            f'teacher {teacher.name}: its feature goes through no '
            f'normalisation layer with parameters, but mode={NORM!r} trains '
            f'them; take mode={LORA!r}.'
        )
    before = {name: p.detach().clone() for name, p in trained.items()}
    try:
        yield trained
    finally:
        for name, parameter in trained.items():
            parameter.data.copy_(before[name])


@contextmanager
def _lora(
    teacher: FrozenTeacher,
    used: Set[int],
    called: Set[int],
    rank: int,
    alpha: float,
) -> Iterator[Dict[str, nn.Parameter]]:
    inject, config = _peft()
    linears, others = {}, []
    for path, module in teacher.named_modules():
        for name in _weights(module):
            if id(getattr(module, name)) not in used:
                continue
            if name == 'weight' and id(module) in called:
                linears[path] = module
            else:
                others.append((f'{path}.{name}', module, name))
    if not linears and not others:
        raise UserError(
            f'teacher {teacher.name}: its feature goes through no linear '
            f'layer, but mode={LORA!r} adapts them; take mode={NORM!r}.'
        )
    trained: Dict[str, nn.Parameter] = {}
    undo: List[Callable[[], None]] = []
    try:
        for key, owner, name in others:
            update = LowRank(getattr(owner, name), rank, alpha)
            undo.append(_restorer(owner, name))
            parametrize.register_parametrization(owner, name, update)
            trained.update(zip(lora_keys(key), (update.a, update.b)))
        if linears:
            undo.append(lambda: _put_back(teacher, linears))
            options = dict(lora_dropout=0.0, bias='none')
            inject(
                config(
                    r=rank,
                    lora_alpha=alpha,
                    # Not a list: peft takes its names for ends of names.
                    target_modules='|'.join(map(re.escape, linears)),
                    **options,
                ),
                teacher,
            )
        for path in linears:
            layer = teacher.get_submodule(path)
            values = [
                part['default'].weight for part in (layer.lora_A, layer.lora_B)
            ]
            trained.update(zip(lora_keys(f'{path}.weight'), values))
        yield trained
    finally:
        for step in reversed(undo):
            step()
        teacher.requires_grad_(False)
        teacher.eval()


class LowRank(nn.Module):
    """W -> W + (alpha / r) B A, as a parametrisation of a weight.

    For weights that are read instead of a layer being called: of
    ``nn.MultiheadAttention``, of timm's BEiT and Swin v2. ``peft`` wraps
    layers, so it would train nothing there, and its wrapper of
    ``nn.MultiheadAttention`` adds the update of the output projection twice
    (seen in 0.21).

    Args:
        weight (Tensor): W (out, in).
        rank (int): r.
        alpha (float): Scale of the update.
    """

    def __init__(self, weight: torch.Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        # As peft initialises A; on the CPU, whose generator alone is seeded.
        a = torch.empty(rank, weight.shape[1])
        nn.init.kaiming_uniform_(a, a=5**0.5)
        self.a = nn.Parameter(a.to(weight))
        self.b = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        self.scale = alpha / rank

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Gives the updated weight (out, in)."""
        return weight + self.scale * (self.b @ self.a)


def _peft() -> Tuple[Callable, Callable]:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(
            f'mode={LORA!r} wants the library peft, which cannot be imported '
            f'({error}): pip install peft.'
        ) from error
    return inject_adapter_in_model, LoraConfig


def _weights(module: nn.Module) -> Sequence[str]:
    if isinstance(module, nn.Linear):
        return ('weight',)
    if isinstance(module, nn.MultiheadAttention):
        return [
            name
            for name in _IN_PROJECTIONS
            if getattr(module, name, None) is not None
        ]
    return ()


def _restorer(owner: nn.Module, name: str) -> Callable[[], None]:
    """Takes a parametrisation away; parameters keep their order.

    torch puts the weight back as the owner's last parameter, which would
    change the order of the state dict and so the digest of the teacher.
    """
    parameters = list(owner.named_parameters(recurse=False))

    def restore() -> None:
        if parametrize.is_parametrized(owner, name):
            parametrize.remove_parametrizations(owner, name, False)
        for own, parameter in parameters:
            delattr(owner, own)
            owner.register_parameter(own, parameter)

    return restore


def _put_back(teacher: nn.Module, linears: Dict[str, nn.Linear]) -> None:
    # What peft notes on a model that it wrapped.
    vars(teacher).pop('peft_config', None)
    for name, layer in linears.items():
        parent, _, child = name.rpartition('.')
        setattr(teacher.get_submodule(parent), child, layer)


def _trace(
    teacher: FrozenTeacher, example: torch.Tensor
) -> Tuple[Set[int], Set[int]]:
    """Finds what the feature is computed from.

    Parameters are the leaves of its autograd graph: no gradient has to be
    computed, and heads that it does not depend on are not among them.

    Returns:
        tuple[set[int], set[int]]: The ``id`` of every parameter used, and of
        every linear layer called.
    """
    called: Set[int] = set()
    handles = [
        module.register_forward_hook(lambda m, _, __: called.add(id(m)))
        for module in teacher.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        teacher.requires_grad_(True)
        with torch.enable_grad():
            feature = teacher.encode(example, (FEATURE,)).feature
    finally:
        teacher.requires_grad_(False)
        for handle in handles:
            handle.remove()
    if feature.grad_fn is None:
        raise UserError(
            f'teacher {teacher.name}: only asks other teachers, so no '
            'gradient comes through; adapt those that it asks.'
        )
    used, seen, nodes = set(), set(), [feature.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, 'variable'):
            used.add(id(node.variable))
        nodes += [following for following, _ in node.next_functions]
    return used, called
