"""A linear probe of a teacher's feature, and its file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Optional, Sequence, Union

import torch
import torch.nn.functional as F

from ....errors import UserError
from .files import read_fitted, write_fitted

NONE, L2, STANDARDIZE = 'none', 'l2', 'standardize'

#: What can be done to a feature before the linear layer.
NORMALIZATIONS = (NONE, L2, STANDARDIZE)

#: What its files are called, and what makes them.
KIND, TOOL = 'probe', 'tools/probe_teacher.py'

_TENSORS = ('weight', 'bias', 'mean', 'std')


@dataclass
class Probe:
    """A linear layer on a teacher's feature, and how it came about.

    Attributes:
        weight (Tensor): W, float32 (C, D).
        bias (Tensor): b, float32 (C,).
        normalization (str): 'none', 'l2' or 'standardize'; see
            :func:`normalize`.
        classes (list[str]): Names of the C classes, in order.
        teacher (str): Name of the teacher.
        teacher_sha256 (str): Its ``digest()``.
        feature (str): Name of the feature, such as 'pooled'.
        input (str): What the teacher saw of an image.
        mean (Tensor, optional): (D,) means of the feature; with 'standardize'
            only. Defaults to None.
        std (Tensor, optional): (D,) deviations, likewise. Defaults to None.
        c (float): Inverse strength of the L2 regularisation. Defaults to 1.
        accuracy (float): Top-1 in percent on the labelled images that were
            held out. Defaults to nan.
        split_sha256 (str): SHA-256 of the labelled samples. Defaults to ''.
        seed (int): Of the hold-out. Defaults to 0.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    normalization: str
    classes: Sequence[str]
    teacher: str
    teacher_sha256: str
    feature: str
    input: str
    mean: Optional[torch.Tensor] = None
    std: Optional[torch.Tensor] = None
    c: float = 1.0
    accuracy: float = float('nan')
    split_sha256: str = ''
    seed: int = 0

    def save(self, path: Union[str, Path]) -> None:
        """Writes a safetensors file in one step.

        Args:
            path (str | Path): The file; its folder is made.

        Raises:
            UserError: If it cannot be written there.
        """
        facts = asdict(self)
        tensors = {name: facts.pop(name) for name in _TENSORS}
        tensors = {
            name: tensor.float().cpu().contiguous()
            for name, tensor in tensors.items()
            if tensor is not None
        }
        facts['feature_dim'] = self.weight.shape[1]
        write_fitted(KIND, path, facts, tensors)

    @classmethod
    def load(cls, path: Union[str, Path]) -> Probe:
        """Reads what :meth:`save` wrote.

        Args:
            path (str | Path): The file.

        Returns:
            Probe: On the CPU.

        Raises:
            UserError: If there is no such file, or it holds no probe.
        """
        facts, tensors = read_fitted(KIND, path, TOOL)
        wanted = _shapes(facts)
        found = {name: tuple(t.shape) for name, t in tensors.items()}
        if found != wanted:
            raise UserError(
                f'probe {path}: holds tensors of the shapes {found}, but '
                f'its metadata wants {wanted}.'
            )
        facts.pop('feature_dim')
        return cls(**tensors, **facts)


def normalize(
    feature: torch.Tensor,
    normalization: str,
    mean: Optional[torch.Tensor] = None,
    std: Optional[torch.Tensor] = None,
) -> torch.Tensor:
    """Does to a feature what the linear layer expects.

    Args:
        feature (Tensor): (N, D).
        normalization (str): 'none': f; 'l2': f / |f|; 'standardize':
            (f - mean) / std.
        mean (Tensor, optional): (D,), for 'standardize'. Defaults to None.
        std (Tensor, optional): (D,), likewise. Defaults to None.

    Returns:
        Tensor: (N, D).

    Raises:
        UserError: If there is no such normalisation.
    """
    if normalization == NONE:
        return feature
    if normalization == L2:
        return F.normalize(feature)
    if normalization == STANDARDIZE:
        return (feature - mean) / std
    raise UserError(
        f'normalization={normalization!r} is not one of '
        f'{", ".join(NORMALIZATIONS)}.'
    )


def _shapes(facts: dict) -> Dict[str, tuple]:
    count, width = len(facts['classes']), facts['feature_dim']
    shapes = dict(weight=(count, width), bias=(count,))
    if facts['normalization'] == STANDARDIZE:
        shapes.update(mean=(width,), std=(width,))
    return shapes
