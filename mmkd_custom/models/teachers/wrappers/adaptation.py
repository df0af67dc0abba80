"""What adapting a teacher changed in it, as a small file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn

from ....errors import UserError
from .files import read_fitted, write_fitted

NORM, LORA = 'norm', 'lora'
MODES = (NORM, LORA)

#: What its files are called, and what makes them.
KIND, TOOL = 'adaptation', 'tools/adapt_teacher.py'

HEAD_WEIGHT, HEAD_BIAS = 'head.weight', 'head.bias'
_LORA_A, _LORA_B = 'lora_a', 'lora_b'


@dataclass
class Adaptation:
    """All that training changed in a teacher, and how it came about.

    Attributes:
        tensors (dict[str, Tensor]): float32. A linear head on the feature:
            ``head.weight`` (C, D) and ``head.bias`` (C,). In mode 'norm' the
            new values of ``norm/<parameter>``; in mode 'lora' A (r, in) as
            ``lora_a/<parameter>`` and B (out, r) as ``lora_b/<parameter>``.
        mode (str): 'norm' or 'lora'.
        teacher (str): Name of the teacher.
        teacher_sha256 (str): ``digest()`` of the un-adapted teacher in
            float32.
        classes (list[str]): Names of the C classes, in order.
        rank (int, optional): Rank r; None in mode 'norm'. Defaults to None.
        alpha (float, optional): LoRA's alpha, likewise. Defaults to None.
        accuracy (float, optional): Top-1 in percent on the labelled images
            that were held out; None if none were. Defaults to None.
        feature (str): Which vector of the teacher the head is for. Defaults
            to 'feature', its only one.
        input (str, optional): What the teacher saw of an image. Defaults to
            None.
        split_sha256 (str, optional): SHA-256 of the labelled samples.
            Defaults to None.
        seed (int): Of the hold-out, the views, the order and LoRA's A.
            Defaults to 0.
    """

    tensors: Dict[str, torch.Tensor]
    mode: str
    teacher: str
    teacher_sha256: str
    classes: Sequence[str]
    rank: Optional[int] = None
    alpha: Optional[float] = None
    accuracy: Optional[float] = None
    feature: str = 'feature'
    input: Optional[str] = None
    split_sha256: Optional[str] = None
    seed: int = 0

    def save(self, path: Union[str, Path]) -> None:
        """Writes a safetensors file in one step; makes its folder.

        Args:
            path (str | Path): The file.

        Raises:
            UserError: If it cannot be written there.
        """
        facts = asdict(self)
        tensors = facts.pop('tensors')
        write_fitted(KIND, path, facts, tensors)

    @classmethod
    def load(cls, path: Union[str, Path]) -> Adaptation:
        """Reads what :meth:`save` wrote.

        Args:
            path (str | Path): The file.

        Returns:
            Adaptation: Its content, on the CPU.

        Raises:
            UserError: If there is no such file, or it holds something else.
        """
        facts, tensors = read_fitted(KIND, path, TOOL)
        return cls(tensors=tensors, **facts)

    def summary(self) -> str:
        """Describes it in one line.

        Returns:
            str: Mode, what changed, classes and the accuracy.
        """
        head = (self.tensors[HEAD_WEIGHT], self.tensors[HEAD_BIAS])
        count = sum(t.numel() for t in self.tensors.values())
        changed = count - sum(t.numel() for t in head)
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

        'norm': the stored values replace the parameters (EZAD). 'lora': the
        update is merged, W + (alpha / r) B A, so it costs nothing later.

        Args:
            teacher (nn.Module): The un-adapted teacher, in float32.

        Raises:
            UserError: If a tensor fits no parameter.
        """
        parameters = dict(teacher.named_parameters())
        for key, tensor in self.tensors.items():
            kind, _, name = key.partition('/')
            if kind == NORM:
                value = tensor
            elif kind == _LORA_B:
                first = self.tensors[f'{_LORA_A}/{name}']
                value = self.alpha / self.rank * tensor @ first
            else:
                continue
            own = parameters.get(name)
            if own is None or own.shape != value.shape:
                raise UserError(
                    f'adaptation: changes {name} of shape '
                    f'{tuple(value.shape)}, but {self.teacher} has '
                    f'{"none" if own is None else tuple(own.shape)}.'
                )
            with torch.no_grad():
                if kind == NORM:
                    own.copy_(value)
                else:
                    own.add_(value.to(own.device))


def norm_key(parameter: str) -> str:
    """Names the new value of a parameter in :class:`Adaptation`."""
    return f'{NORM}/{parameter}'


def lora_keys(parameter: str) -> Tuple[str, str]:
    """Names A and B of a parameter's update in :class:`Adaptation`."""
    return f'{_LORA_A}/{parameter}', f'{_LORA_B}/{parameter}'
