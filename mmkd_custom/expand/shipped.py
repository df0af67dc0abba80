"""What the key takes from the configs of this project."""

from __future__ import annotations

from typing import Any, List

from mmengine.config import Config
from mmengine.registry import Registry

from .. import registry as registries
from ..utils.shipped import shipped as shipped_folder

BASES = shipped_folder('configs') / '_base_'


def shipped(name: str) -> dict:
    """Reads a file of ``configs/_base_`` as plain dicts and lists.

    Args:
        name (str): Its path there.

    Returns:
        dict: Its content, of names that any default scope finds.
    """
    return scoped(Config.fromfile(str(BASES / name)).to_dict())


def shipped_names(folder: str) -> List[str]:
    """Lists the configs of a folder of ``configs/_base_``, sorted."""
    return sorted(p.stem for p in (BASES / folder).glob('*.py'))


def scoped(node: Any) -> Any:
    """Puts the scope before what this package registers.

    A config of MMPretrain has MMPretrain's default scope, in which a bare
    name of this package's is not found.

    Args:
        node (Any): A part of a config.

    Returns:
        Any: A copy.
    """
    if isinstance(node, dict):
        return {
            key: _with_scope(value)
            if key in ('type', 'constructor') and isinstance(value, str)
            else scoped(value)
            for key, value in node.items()
        }
    if isinstance(node, (list, tuple)):
        return type(node)(scoped(value) for value in node)
    return node


def _with_scope(name: str) -> str:
    own = '.' not in name and any(
        registry.get(name) is not None and name in registry.module_dict
        for registry in vars(registries).values()
        if isinstance(registry, Registry)
        and registry.scope == registries.SCOPE
    )
    return f'{registries.SCOPE}.{name}' if own else name
