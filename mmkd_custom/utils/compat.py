"""What newer torch, numpy and timm need from MMEngine and MMPretrain."""

from __future__ import annotations

from pickle import UnpicklingError
from typing import Any, Callable, Dict, List, Tuple, Union

import numpy as np
import torch
import torch.nn as nn
from mmengine.logging import HistoryBuffer

#: The methods that each ``HistoryBuffer`` of MMEngine pickles by name.
STATISTICS = ('min', 'max', 'current', 'mean')


def allow_training_state() -> None:
    """Lets ``torch.load(weights_only=True)`` read MMEngine's checkpoints.

    From 2.6 on torch refuses by default every class it does not know, and
    MMEngine 0.10 keeps its log as ``HistoryBuffer`` objects with numpy arrays
    in each checkpoint, so ``resume`` fails. Naming the few harmless classes
    keeps the refusal of all others.
    """
    torch.serialization.add_safe_globals(_training_state_globals())


def _training_state_globals() -> List[Union[Any, Tuple[Any, str]]]:
    reconstruct = np.ndarray(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    allowed: List[Union[Any, Tuple[Any, str]]] = [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        # A HistoryBuffer's pickle looks its own methods up.
        (_statistic, 'builtins.getattr'),
    ]
    # numpy 2 renamed numpy.core; a checkpoint names the module of the numpy
    # that wrote it.
    for core in ('numpy.core', 'numpy._core'):
        allowed += [
            (reconstruct, f'{core}.multiarray._reconstruct'),
            (scalar, f'{core}.multiarray.scalar'),
        ]
    kinds = np.typecodes['AllInteger'] + np.typecodes['Float'] + '?'
    allowed += sorted(
        {type(np.dtype(kind)) for kind in kinds},
        key=lambda kind: kind.__name__,
    )
    return allowed


def _statistic(owner: Any, name: str) -> Callable:
    """``getattr`` for the statistics of a HistoryBuffer and nothing else."""
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed')
    return getattr(HistoryBuffer, name)


def copy_subsets_afresh(dataset: type) -> None:
    """Keeps one subset of a dataset from being made of another's parts.

    MMEngine 0.10 notes what it has copied for a subset in one dict that all
    subsets share, by address. An object at the address of one that is gone is
    then taken for it: a subset's pipeline may be another dataset. Safe to
    call twice.

    Args:
        dataset (type): ``mmengine.dataset.BaseDataset``.
    """
    original = dataset._copy_without_annotation
    if not original.__defaults__:
        return

    def copy_without_annotation(self: Any, *memo: dict) -> Any:
        return original(self, *(memo or ({},)))

    dataset._copy_without_annotation = copy_without_annotation


def keep_nested_state_dict(model: nn.Module) -> None:
    """Makes wrapped timm and Hugging Face classifiers save as plain ones.

    MMPretrain's ``TimmClassifier`` saves its weights under the keys of timm:
    a hook strips ``model.`` from them. The hook returns a new dict, which
    torch and MMEngine only use for the outermost module; as the student of a
    distiller the classifier would save ``student.model.<key>``, while its
    other hook still adds ``model.`` on loading, so no checkpoint would load.
    This adds a hook that strips the prefix in place. Safe to call twice.

    Args:
        model (nn.Module): Any module; its children are treated too.
    """
    for module in model.modules():
        if hasattr(module, '_remove_state_dict_prefix') and (
            _strip_in_place not in module._state_dict_hooks.values()
        ):
            handle = module._register_state_dict_hook(_strip_in_place)
            # First, while the hooks still see the dict that is kept.
            module._state_dict_hooks.move_to_end(handle.id, last=False)


def _strip_in_place(
    module: nn.Module,
    state_dict: Dict[str, torch.Tensor],
    prefix: str,
    local_metadata: dict,
) -> None:
    wrapped = f'{prefix}model.'
    for key in [key for key in state_dict if key.startswith(wrapped)]:
        state_dict[prefix + key[len(wrapped) :]] = state_dict.pop(key)
