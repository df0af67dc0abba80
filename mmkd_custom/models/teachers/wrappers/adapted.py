"""A teacher whose weights were adapted to the labelled data, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Optional, Sequence, Tuple

import torch
import torch.nn as nn

from ....errors import UserError
from ....registry import MODELS
from ...outputs import LOGITS, Outputs
from ..base import FrozenTeacher
from ..frozen import EXECUTION
from .base import WrappedTeacher, build_wrapped, for_head
from .files import HeadFile

NORM, LORA, FULL = 'norm', 'lora', 'full'
MODES = (NORM, LORA, FULL)
#: Modes whose tensors are the new values of parameters.
_REPLACING = (NORM, FULL)

HEAD_WEIGHT, HEAD_BIAS = 'head.weight', 'head.bias'
_LORA_A, _LORA_B = 'lora_a', 'lora_b'


@dataclass
class Adaptation(HeadFile):
    """All that training changed in a teacher, and how it came about.

    Its ``tensors`` are a linear head on the feature, ``head.weight`` (C, D)
    and ``head.bias`` (C,); in modes 'norm' and 'full' the new values of
    ``norm/<parameter>`` or ``full/<parameter>``; in mode 'lora' A (r, in) as
    ``lora_a/<parameter>`` and B (out, r) as ``lora_b/<parameter>``, of 1x1
    convolutions with two more axes of length 1. ``teacher_sha256`` is of
    the un-adapted teacher in float32.

    Attributes:
        mode (str): 'norm', 'lora' or 'full'.
        rank (int, optional): Rank r; None but in 'lora'. Defaults to None.
        alpha (float, optional): LoRA's alpha, likewise. Defaults to None.
    """

    mode: str = NORM
    rank: Optional[int] = None
    alpha: Optional[float] = None

    kind: ClassVar[str] = 'adaptation'
    tool: ClassVar[str] = 'tools/adapt_teacher.py'
    head: ClassVar[str] = HEAD_WEIGHT

    def summary(self) -> str:
        """Returns mode, what changed, classes and accuracy in one line."""
        changed = sum(
            tensor.numel()
            for name, tensor in self.tensors.items()
            if name not in (HEAD_WEIGHT, HEAD_BIAS)
        )
        rank = '' if self.rank is None else f' of rank {self.rank}'
        accuracy = (
            'no image held out'
            if self.accuracy is None
            else f'{self.accuracy:.2f} % top-1 on the images held out'
        )
        return (
            f'{self.mode}{rank} of {self.teacher}, {changed} parameters and '
            f'a head of {len(self.classes)} classes, {accuracy}'
        )

    def apply_to(self, teacher: nn.Module) -> None:
        """Changes a teacher's weights: the equation of each mode.

        'norm', 'full': the stored values replace the parameters. 'lora': the
        update is merged, W + (alpha / r) B A, so it costs nothing later.

        Args:
            teacher (nn.Module): The un-adapted teacher, in float32.

        Raises:
            UserError: If a tensor fits no parameter.
        """
        parameters = dict(teacher.named_parameters())
        for key, tensor in self.tensors.items():
            kind, _, name = key.partition('/')
            if kind in _REPLACING:
                value = tensor
            elif kind == _LORA_B:
                first = self.tensors[f'{_LORA_A}/{name}']
                value = self.alpha / self.rank * _product(tensor, first)
            else:
                continue
            own = parameters.get(name)
            if own is None or own.shape != value.shape:
                raise UserError(
                    f'adaptation: expected {name} of shape '
                    f'{tuple(value.shape)} in {self.teacher}, got '
                    f'{"none" if own is None else tuple(own.shape)}.'
                )
            with torch.no_grad():
                if kind in _REPLACING:
                    own.copy_(value)
                else:
                    own.add_(value.to(own.device))


def value_key(mode: str, parameter: str) -> str:
    """Returns the name of a parameter's new value in an adaptation.

    Args:
        mode (str): 'norm' or 'full'.
        parameter (str): Its name in the teacher.
    """
    return f'{mode}/{parameter}'


def lora_keys(parameter: str) -> Tuple[str, str]:
    """Returns the names of A and B of a parameter's update."""
    return f'{_LORA_A}/{parameter}', f'{_LORA_B}/{parameter}'


def _product(second: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """B A: (out, r) (r, in) -> (out, in), both with or without (1, 1)."""
    product = second.flatten(1) @ first.flatten(1)
    return product.reshape(*product.shape, *first.shape[2:])


@MODELS.register_module()
class AdaptedTeacher(WrappedTeacher):
    """Another teacher with adapted weights and a linear head.

    ``tools/adapt_teacher.py`` trains the adaptation on the labelled data:
    the normalisation layers alone (EZAD), LoRA, or all weights
    (docs/good_practices.md). It offers what the other teacher offers, adapted,
    and logits of the stored head on the adapted feature. It is as large and
    as fast as the other.

    Args:
        teacher (dict): Config of the teacher that was adapted. Its ``dtype``,
            ``channels_last``, ``max_batch`` and ``compile`` hold for this
            one, unless they are given here. Whatever the dtype, weights are
            changed in float32 first.
        adaptation (str): File that ``tools/adapt_teacher.py`` wrote.
        num_classes (int, optional): Number of classes of the data ('auto' in
            a config), to have an adaptation for others refused. None takes
            the file's. Defaults to None.
        **execution (Any): ``dtype``, ``channels_last``, ``max_batch`` and
            ``compile`` in place of the other teacher's.

    Raises:
        UserError: If the file is missing or holds something else, or was
            made for another teacher, feature width or number of classes.
    """

    def __init__(
        self,
        teacher: dict,
        adaptation: str,
        num_classes: Optional[int] = None,
        **execution: Any,
    ) -> None:
        stored = Adaptation.load(adaptation)
        config, run = split_execution(teacher)
        run.update({k: v for k, v in execution.items() if v is not None})
        adapted = build_unadapted(config)
        stored.check(adaptation, adapted, num_classes)
        stored.apply_to(adapted)
        super().__init__(adapted, stored.classes, **run)
        adapted.dtype, adapted.memory_format = self.dtype, self.memory_format
        # Assigned, it is cast to how this one runs.
        self.teacher = adapted
        weight = stored.tensors[HEAD_WEIGHT]
        # Without the initialisation, which would draw random numbers.
        head = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
        head.load_state_dict(
            dict(weight=weight, bias=stored.tensors[HEAD_BIAS])
        )
        self.head = head
        self.name = f'{adapted.name} ({stored.mode}-adapted)'
        self.weights = f'{adapted.weights} + {adaptation}'

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Runs the adapted network once, and the head if asked."""
        output = self.teacher.encode(inputs, for_head(wants))
        if LOGITS in wants:
            output.logits = self.head(output.feature)
        return output


def split_execution(teacher: dict) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Returns what a teacher's config says it is, and how it runs.

    Args:
        teacher (dict): Config of a teacher.

    Raises:
        UserError: If it is no config.
    """
    if not isinstance(teacher, dict):
        raise UserError(
            'teacher.teacher: expected the config of a teacher to adapt, got '
            f'a {type(teacher).__name__} that is built already.'
        )
    config = dict(teacher)
    run = {name: config.pop(name) for name in EXECUTION if name in config}
    return config, run


def build_unadapted(config: dict) -> FrozenTeacher:
    """Returns the teacher that is adapted, in float32, on the CPU.

    Args:
        config (dict): From :func:`split_execution`.

    Raises:
        UserError: If it cannot be built, is no teacher, or teachers inside
            it are in another dtype.
    """
    teacher = build_wrapped(config, 'teacher.teacher', {})
    dtypes = {str(p.dtype)[len('torch.') :] for p in teacher.parameters()}
    if dtypes != {'float32'}:
        raise UserError(
            f'teacher {teacher.name}: dtype: expected float32 to adapt '
            f'parameters, got {", ".join(sorted(dtypes))}; leave the dtype of '
            'teachers inside it out.'
        )
    return teacher
