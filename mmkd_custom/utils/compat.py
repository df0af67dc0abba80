"""What newer torch, numpy and timm need from MMEngine and MMPretrain."""

from __future__ import annotations

from importlib import metadata
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Tuple, Union

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ..errors import UserError

# Each function imports what it needs: check_versions has to be able to say
# that a package is missing.
if TYPE_CHECKING:
    import torch
    import torch.nn as nn

#: Distribution to supported versions, the same as in ``setup.py``.
SUPPORTED: Dict[str, str] = {
    'torch': '>=2.6',
    'mmengine': '>=0.10.7,<1.0',
    'mmpretrain': '>=1.2.0,<2.0',
    'timm': '>=1.0.9',
}

#: MMPretrain 1.2 takes these versions of the package ``mmcv``, which either
#: of two distributions provides.
SUPPORTED_MMCV = '>=2.0.0,<2.4'
MMCV_DISTRIBUTIONS = ('mmcv', 'mmcv-lite')

#: The methods that each ``HistoryBuffer`` of MMEngine pickles by name.
STATISTICS = ('min', 'max', 'current', 'mean')


def check_versions(version: Callable[[str], str] = metadata.version) -> None:
    """Checks that the packages this one is built on are there and fit.

    Args:
        version (Callable): Gives the version of an installed distribution,
            or raises ``PackageNotFoundError``. Defaults to
            :func:`importlib.metadata.version`.

    Raises:
        UserError: If one is missing or too old or too new, or if ``mmcv`` and
            ``mmcv-lite`` are both installed, which write the same files.
    """
    for name, supported in SUPPORTED.items():
        try:
            found = version(name)
        except metadata.PackageNotFoundError:
            raise UserError(
                f'mmkd_custom needs {name}{supported}, but it is not '
                f"installed: pip install '{name}{supported}'."
            ) from None
        _check(name, found, supported)
    mmcv = {}
    for name in MMCV_DISTRIBUTIONS:
        try:
            mmcv[name] = version(name)
        except metadata.PackageNotFoundError:
            continue
    if not mmcv:
        raise UserError(
            f'mmkd_custom needs the package mmcv{SUPPORTED_MMCV}, but neither '
            'mmcv nor mmcv-lite is installed: pip install '
            f"'mmcv-lite{SUPPORTED_MMCV}'."
        )
    if len(mmcv) > 1:
        raise UserError(
            'mmcv and mmcv-lite are both installed, but they overwrite each '
            "other's files and one is wanted: pip uninstall both, then "
            'install the one you want.'
        )
    for name, found in mmcv.items():
        _check(name, found, SUPPORTED_MMCV)


def _check(name: str, found: str, supported: str) -> None:
    if not SpecifierSet(supported).contains(Version(found), prereleases=True):
        raise UserError(
            f'mmkd_custom needs {name}{supported}, but {name} {found} is '
            f"installed: pip install '{name}{supported}'."
        )


def allow_training_state() -> None:
    """Lets ``torch.load(weights_only=True)`` read MMEngine's checkpoints.

    From 2.6 on torch refuses by default every class it does not know, and
    MMEngine 0.10 keeps its log as ``HistoryBuffer`` objects with numpy arrays
    in each checkpoint, so ``resume`` fails. Naming the few harmless classes
    keeps the refusal of all others.
    """
    import torch

    torch.serialization.add_safe_globals(_training_state_globals())


def _training_state_globals() -> List[Union[Any, Tuple[Any, str]]]:
    import numpy as np
    from mmengine.logging import HistoryBuffer

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
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in STATISTICS:
        raise UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed')
    return getattr(HistoryBuffer, name)


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
