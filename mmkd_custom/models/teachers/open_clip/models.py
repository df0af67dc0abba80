"""open_clip's networks: building them, and what their cards say."""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

import open_clip
import timm
import torch.nn as nn
from mmengine.logging import print_log

from ....errors import UserError, nearest
from ..preparation import INTERPOLATIONS

#: What open_clip calls the twin of a network that computes QuickGELU.
QUICK_GELU = '-quickgelu'

#: Stands in for a text tower that nobody asks: the smallest there can be.
NO_TEXT = dict(context_length=1, vocab_size=1, width=8, heads=1, layers=1)


def find_config(given: str) -> Tuple[str, Dict[str, Any]]:
    """Returns the name and the config of a model.

    Args:
        given (str): One of ``open_clip.list_models()``, or that in OpenAI's
            spelling, with a slash.

    Returns:
        tuple[str, dict]: Its name in open_clip; ``vision_cfg``, ``text_cfg``
        and more.

    Raises:
        UserError: If open_clip does not know it, or timm its image tower.
    """
    known, name = open_clip.list_models(), str(given).replace('/', '-')
    if name not in known:
        # 'hf-hub:...' and 'local-dir:...' are names to open_clip too.
        place = (
            ', a place; its weights are named with checkpoint=<path>'
            if ':' in name
            else f'; {nearest(name, known)}'
        )
        raise UserError(
            'teacher: model_name: expected one of open_clip.list_models(), '
            f'got {given!r}{place}.'
        )
    config = open_clip.get_model_config(name)
    trunk = config['vision_cfg'].get('timm_model_name')
    if trunk is not None and not timm.is_model(trunk):
        raise UserError(
            f'teacher {name}: expected a timm that knows its image tower '
            f'{trunk!r}, got timm {timm.__version__}; install a newer one.'
        )
    return name, config


def find_tokenizer(name: str, config: Dict[str, Any]) -> Callable:
    """Returns the tokenizer of a model: texts to tokens (N, length).

    Args:
        name (str): Of the model.
        config (dict): Its config.

    Raises:
        UserError: If it comes from a library or a hub that is out of reach.
    """
    try:
        with _quiet():
            return open_clip.get_tokenizer(name)
    except Exception as error:
        # The clients it is downloaded with raise errors of all kinds.
        wanted = config['text_cfg'].get('hf_tokenizer_name', name)
        raise _unavailable(name, f'tokenizer {wanted!r}', error) from error


def build(
    name: str, config: Dict[str, Any], quick_gelu: bool, with_text: bool
) -> nn.Module:
    """Returns a model with random weights, in ``eval()``.

    Args:
        name (str): Of the model.
        config (dict): Its config.
        quick_gelu (bool): Whether it computes QuickGELU whatever the config
            says.
        with_text (bool): Whether its text tower will be asked. Otherwise the
            smallest possible one takes its place, so that it costs nothing
            and needs no library of its own.

    Raises:
        UserError: If the text tower comes from a library or a hub that is out
            of reach.
    """
    options: Dict[str, Any] = dict(
        force_quick_gelu=quick_gelu, pretrained_hf=False
    )
    if not with_text:
        for key in {'text_cfg', 'multimodal_cfg'} & config.keys():
            options[key] = dict(NO_TEXT)
    with _quiet():
        try:
            return open_clip.create_model(name, **options).eval()
        except Exception as error:
            wanted = config['text_cfg'].get('hf_model_name')
            if not with_text or wanted is None:
                raise
            raise _unavailable(
                name, f'text tower {wanted!r}', error
            ) from error


def read_card(
    name: str, visual: nn.Module, published: Optional[Dict[str, Any]]
) -> Dict[str, Any]:
    """Returns how images for a model are normalised and resized.

    A file does not say which weights it holds, so what all published weights
    of the model agree on is taken to hold for it too.

    Args:
        name (str): Of the model.
        visual (nn.Module): Its image tower.
        published (dict, optional): What open_clip knows about the weights;
            None if they are in a file.

    Returns:
        dict: ``mean`` and ``std`` of R, G, B on pixels in 0-1, and
        ``interpolation``.
    """
    card = dict(open_clip.get_model_preprocess_cfg(visual))
    cards = _cards(name) if published is None else {'': published}
    keys = ('mean', 'std', 'interpolation')
    known = {tuple(map(c.get, keys)) for c in cards.values()}
    if len(known) == 1:
        card.update((k, v) for k, v in zip(keys, *known) if v is not None)
    elif known:
        others = [
            f'{tag} (mean {c.get("mean")}, std {c.get("std")}, '
            f'{c.get("interpolation")} interpolation)'
            for tag, c in cards.items()
            if any(c.get(key) not in (None, card[key]) for key in keys)
        ]
        print_log(
            f'teacher {name}: its published weights differ in how images are '
            f'normalised; using mean {card["mean"]}, std {card["std"]} and '
            f'{card["interpolation"]} interpolation, unless others are given, '
            f'as for these: {", ".join(others)}.',
            logger='current',
            level=logging.WARNING,
        )
    if card['interpolation'] not in INTERPOLATIONS:
        card['interpolation'] = 'bicubic'
    return card


def tell_of_quick_gelu(name: str) -> None:
    """Logs that weights in a file may be for the twin with QuickGELU.

    Args:
        name (str): Of a model that was not told to compute QuickGELU.
    """
    if name + QUICK_GELU in open_clip.list_models():
        tags = [tag for tag, c in _cards(name).items() if c.get('quick_gelu')]
        print_log(
            f'teacher {name}: computes GELU; if its weights were trained with '
            f'QuickGELU, as {", ".join(tags) or "those of OpenAI"} were, name '
            f'{name + QUICK_GELU!r}.',
            logger='current',
        )


def _cards(name: str) -> Dict[str, Dict[str, Any]]:
    tags = open_clip.list_pretrained_tags_by_model(name)
    return {tag: open_clip.get_pretrained_cfg(name, tag) for tag in tags}


def _unavailable(name: str, what: str, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [''])[0]
    return UserError(
        f'teacher {name}: class_names: its {what} could not be loaded '
        f'({type(error).__name__}: {reason}); install transformers and keep '
        'the files in the cache of Hugging Face (HF_HOME), or leave '
        'class_names out.'
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # open_clip says to the root logger what it does, and that weights stay
    # random before they are loaded here; a root logger without handlers is
    # given one by that.
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [logging.NullHandler()]
    try:
        yield
    finally:
        root.handlers = handlers
