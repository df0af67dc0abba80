"""Where an int8 file rounds, and the same rounding in training."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any, Callable, Dict, Iterable, Tuple

import torch
import torch.nn as nn
from mmengine.dist import all_reduce, get_world_size
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver
from torch.nn.modules.batchnorm import _BatchNorm

#: What has weights that are quantised.
LAYERS = (nn.Conv2d, nn.Linear)
#: What exporters and ONNX Runtime make one operator of with such a layer.
FUSED = (_BatchNorm, nn.ReLU, nn.ReLU6)
_WEIGHT = 'weight'
#: A module's name, and how many calls of it came before.
Call = Tuple[str, int]


class FakeQuantizers(nn.Module):
    r"""Rounds a student's weights and activations, gradients passing through.

    At nearly the places of :func:`mmkd_custom.export.int8.quantize`
    (docs/deployment.md says which differ): the
    weights of each convolution and linear layer, symmetric, a scale for each
    output channel; its input, and its output after the BatchNorm and ReLU
    that follow, unsigned, a scale for all, from moving averages of the
    smallest and largest value (torch's ``FakeQuantize``). A scale of its own
    for each channel makes rounding before a BatchNorm, whose factors have one
    for each channel too, the same as rounding what both are fused to.

    The student's modules and keys stay what they are: the ranges are buffers
    of this module, which is saved beside it and left behind at export.

    Args:
        student (nn.Module): Any classifier; run once to see what follows
            what.
        size (int): Height and width of the images of that run.
    """

    def __init__(self, student: nn.Module, size: int) -> None:
        super().__init__()
        calls, ends = _calls(student, size)
        self.inputs = _by_module(ends, calls)
        self.outputs = _by_module(ends.values(), calls)

    def __len__(self) -> int:
        return len(self.inputs)

    def attach(self, student: nn.Module) -> ExitStack:
        """Has a student round, until the result is closed.

        Args:
            student (nn.Module): The one that this was made of, or a copy.

        Returns:
            ExitStack: ``close()`` takes all off again.
        """
        stack = ExitStack()

        def keep(handle: Any) -> None:
            stack.callback(handle.remove)

        keep(student.register_forward_pre_hook(self._start))
        for key, turns in self.inputs.items():
            layer = student.get_submodule(_name(key))
            keep(layer.register_forward_pre_hook(_before(turns)))
            keep(layer.register_forward_hook(_after))
        for key, turns in self.outputs.items():
            module = student.get_submodule(_name(key))
            keep(module.register_forward_hook(_rounded(turns)))
        return stack

    def _start(self, *_: Any) -> None:
        for turns in (*self.inputs.values(), *self.outputs.values()):
            turns.turn = 0

    def share(self) -> None:
        """Has all processes go on with the mean of their ranges."""
        if get_world_size() == 1:
            return
        ranges = [
            value
            for name, value in self.named_buffers()
            if name.endswith(('min_val', 'max_val'))
        ]
        together = torch.stack(ranges)
        all_reduce(together, 'mean')
        for value, mean in zip(ranges, together):
            value.copy_(mean)


class _Turns(nn.ModuleList):
    """What rounds at each call of a module that is called several times.

    Each call is another tensor with another range, as in a ResNet's block,
    whose one ReLU is also applied to the sum. After the last call comes the
    first again: a network that saves memory runs parts of itself twice.
    """

    turn = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        quantizer = self[self.turn % len(self)]
        self.turn += 1
        return quantizer(x.float()).to(x.dtype)


def _by_module(rounded: Iterable[Call], calls: Counter) -> nn.ModuleDict:
    """Makes a range for each of some calls, none for the others."""
    rounded = set(rounded)
    return nn.ModuleDict(
        {
            _key(name): _Turns(
                _range() if (name, turn) in rounded else nn.Identity()
                for turn in range(calls[name])
            )
            # Not in the order of the set, which is another in each process.
            for name in sorted({name for name, _ in rounded})
        }
    )


def _key(name: str) -> str:
    """Returns a name without dots, which no child may have."""
    return name.replace('.', '/')


def _name(key: str) -> str:
    return key.replace('/', '.')


def _range() -> FakeQuantize:
    return FakeQuantize(
        observer=MovingAverageMinMaxObserver,
        quant_min=0,
        quant_max=255,
        dtype=torch.quint8,
        qscheme=torch.per_tensor_affine,
    )


def fake_weight(weight: torch.Tensor) -> torch.Tensor:
    """Rounds a weight (O, ...) to int8, symmetric, a scale for each output."""
    largest = weight.detach().float().abs().flatten(1).amax(1)
    scale = (largest / 127).clamp(min=torch.finfo(torch.float32).eps)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(
        weight, scale, zero, 0, -127, 127
    )


def _before(turns: _Turns) -> Callable:
    def hook(layer: nn.Module, args: tuple) -> tuple:
        # In the place of the parameter, which autograd leads back to.
        layer.__dict__['unrounded'] = layer._parameters[_WEIGHT]
        layer._parameters[_WEIGHT] = fake_weight(layer._parameters[_WEIGHT])
        return (turns(args[0]), *args[1:])

    return hook


def _after(layer: nn.Module, args: tuple, output: torch.Tensor) -> None:
    layer._parameters[_WEIGHT] = layer.__dict__.pop('unrounded')


def _rounded(turns: _Turns) -> Callable:
    return lambda module, args, output: turns(output)


@torch.no_grad()
def _calls(student: nn.Module, size: int) -> Tuple[Counter, Dict[Call, Call]]:
    """Runs a student once.

    Returns:
        tuple[Counter, dict]: How often each module is called; and for each
        call of a layer that of the last module that is one operator with it.
    """
    names = {module: name for name, module in student.named_modules()}
    calls: Counter = Counter()
    ends: Dict[Call, Call] = {}
    # Whose output a tensor is, unless it has been written into since; kept,
    # lest another one gets its address.
    owners: Dict[int, Tuple[Call, torch.Tensor, int]] = {}
    found: Dict[nn.Module, Call] = {}

    def before(module: nn.Module, args: tuple) -> None:
        owner, tensor, version = owners.get(id(args[0]), (None, args[0], -1))
        if isinstance(module, LAYERS):
            found[module] = names[module], calls[names[module]]
        elif tensor._version == version:
            found[module] = owner

    def after(module: nn.Module, args: tuple, output: torch.Tensor) -> None:
        name = names[module]
        owner = found.pop(module, None)
        if owner is not None:
            ends[owner] = name, calls[name]
            owners[id(output)] = owner, output, output._version
        calls[name] += 1

    watched = [m for m in student.modules() if isinstance(m, LAYERS + FUSED)]
    handles = [m.register_forward_pre_hook(before) for m in watched]
    handles += [m.register_forward_hook(after) for m in watched]
    training = [module for module in student.modules() if module.training]
    student.eval()
    try:
        image = torch.zeros(1, 3, size, size)
        student(image.to(next(student.parameters())), mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
        for module in training:
            module.training = True
    return calls, ends
