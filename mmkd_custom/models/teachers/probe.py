"""A linear probe of a teacher's feature, and its file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Optional, Sequence, Union

import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import save

from ...errors import UserError
from ...files import write_atomic

NONE, L2, STANDARDIZE = 'none', 'l2', 'standardize'

#: What can be done to a feature before the linear layer.
NORMALIZATIONS = (NONE, L2, STANDARDIZE)

#: The one key of the file's metadata. One, because safetensors writes several
#: in no fixed order, and the same probe shall give the same bytes.
KIND = 'mmkd_custom.probe'

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
            path (str | Path): The file, in an existing folder.

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
        metadata = {KIND: json.dumps(facts, sort_keys=True)}
        try:
            write_atomic(path, save(tensors, metadata))
        except OSError as error:
            raise UserError(
                f'probe {path}: cannot be written ({error}).'
            ) from error

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
        path = Path(path).expanduser()
        if not path.is_file():
            raise UserError(
                f'probe: there is no file {str(path)!r}; make it with '
                'tools/probe_teacher.py.'
            )
        try:
            with safetensors.safe_open(str(path), 'pt') as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except safetensors.SafetensorError as error:
            raise UserError(
                f'probe {path}: is no readable .safetensors file ({error}).'
            ) from error
        if KIND not in metadata:
            raise UserError(
                f'probe {path}: holds {_first(tensors)}, but what '
                'tools/probe_teacher.py writes is wanted.'
            )
        facts = json.loads(metadata[KIND])
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


def _first(tensors: Dict[str, torch.Tensor]) -> str:
    return f'tensors such as {next(iter(tensors))!r}' if tensors else 'nothing'
