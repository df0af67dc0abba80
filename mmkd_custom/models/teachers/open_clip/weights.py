"""Weights of open_clip models: tags, files and the layouts they come in."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

import open_clip
import torch.nn as nn
from open_clip.model import convert_to_custom_text_state_dict

from ....errors import UserError, nearest
from ..layouts import OPENAI_CLIP, StateDict, log, recognise
from ..weights import check_sources, load_state_dict, load_strict
from .models import tell_of_quick_gelu
from .towers import ImageTower

VISUAL = 'visual.'

#: What only the state dicts of OpenAI's own CLIP hold; they are no weights.
OPENAI_KEYS = ('input_resolution', 'context_length', 'vocab_size')

#: What belongs to the text tower or to the logits.
TEXT_PREFIXES = (
    'text.',
    'text_decoder.',
    'text_projection',
    'transformer.',
    'token_embedding.',
    'positional_embedding',
    'ln_final.',
    'logit_scale',
    'logit_bias',
)

#: Before the names of the image tower of a CLIP or SigLIP of transformers.
TRANSFORMERS_MARK = 'vision_model.'

#: A buffer of old versions of the transformers library.
POSITION_IDS = 'text.transformer.embeddings.position_ids'


def tag_card(name: str, tag: Union[str, bool]) -> Dict[str, Any]:
    """Returns what open_clip knows about pretrained weights.

    That is ``url``, ``hf_hub``, ``mean``, ``std``, ``interpolation`` ...

    Args:
        name (str): Name of a model in open_clip.
        tag (str | bool): Name of weights for it; True is the only ones.

    Raises:
        UserError: If there are no weights of that name for that model, or
            True does not say which.
    """
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not tags:
        raise UserError(
            f'teacher {name}: pretrained: open_clip has no weights for it; '
            'name a file of them with checkpoint=<path>.'
        )
    if tag is True:
        if len(tags) > 1:
            raise UserError(
                f'teacher {name}: pretrained: expected the name of one of '
                f'{len(tags)} weights, such as '
                f'{", ".join(map(repr, tags[:5]))}, got True.'
            )
        tag = tags[0]
    card = open_clip.get_pretrained_cfg(name, str(tag))
    if not card:
        raise UserError(
            f'teacher {name}: pretrained: expected the name of weights that '
            f'open_clip knows, got {tag!r}; {nearest(str(tag), tags)} (a '
            'local file is named with checkpoint=<path>).'
        )
    return card


def read_weights(
    name: str, checkpoint: Optional[str], card: Optional[Dict[str, Any]]
) -> Tuple[StateDict, str, bool]:
    """Returns a state dict of an open_clip model.

    Args:
        name (str): Name of the model, for errors.
        checkpoint (str, optional): Where its weights are: see
            :func:`~mmkd_custom.models.teachers.load_state_dict`.
        card (dict, optional): What :func:`tag_card` said of the weights to
            download, where ``checkpoint`` is None.

    Returns:
        tuple[dict, str, bool]: The tensors by name, where they came from, and
        whether they are in the layout of OpenAI's CLIP.

    Raises:
        UserError: If they cannot be read, or are those of another library.
    """
    if checkpoint is not None:
        state_dict, source = load_state_dict(checkpoint)
    else:
        source = _published_file(card)
        state_dict, _ = load_state_dict(_download(name, card, source))
    if any(key.startswith(TRANSFORMERS_MARK) for key in state_dict):
        raise UserError(
            f"checkpoint {source}: expected open_clip's or OpenAI's layout, "
            f'got that of transformers ({TRANSFORMERS_MARK}...); many '
            'publishers keep the former beside it, in '
            'open_clip_model.safetensors or open_clip_pytorch_model.bin.'
        )
    layout = recognise(state_dict)
    if layout is not None:
        log(f'{source}: recognised the layout of {layout}.')
    state_dict = {k: v for k, v in state_dict.items() if k not in OPENAI_KEYS}
    return state_dict, source, layout == OPENAI_CLIP


class Found(NamedTuple):
    """The weights of a model, as far as some are named.

    Attributes:
        card (dict, optional): What open_clip knows about those it downloads.
        quick_gelu (bool): Whether they are known to want QuickGELU.
        state_dict (dict, optional): Tensors by name; None for random ones.
        source (str, optional): Where they came from; likewise.
    """

    card: Optional[Dict[str, Any]]
    quick_gelu: bool
    state_dict: Optional[StateDict]
    source: Optional[str]


def find_weights(
    name: str, checkpoint: Optional[str], pretrained: Union[str, bool, None]
) -> Found:
    """Reads the weights of a model, or none.

    Args:
        name (str): Of the model.
        checkpoint (str, optional): See :func:`read_weights`.
        pretrained (str | bool, optional): See :func:`tag_card`; None and
            False name none.

    Returns:
        Found: What it says, too, if these may be for the twin with QuickGELU.

    Raises:
        UserError: If both are given, or as those.
    """
    pretrained = None if pretrained is False else pretrained
    check_sources(name, checkpoint, pretrained)
    card = None if pretrained is None else tag_card(name, pretrained)
    quick_gelu = bool(card and card.get('quick_gelu'))
    if checkpoint is None and card is None:
        return Found(card, quick_gelu, None, None)
    state_dict, source, openai = read_weights(name, checkpoint, card)
    quick_gelu = quick_gelu or openai
    if not quick_gelu and card is None:
        tell_of_quick_gelu(name)
    return Found(card, quick_gelu, state_dict, source)


def load_image_tower(
    tower: ImageTower, state_dict: StateDict, source: str
) -> None:
    """Loads the image tower; each of its keys and shapes must match.

    Args:
        tower (ImageTower): The image tower.
        state_dict (dict[str, Tensor]): Weights of a whole model, or of an
            image tower alone, with or without 'visual.' before each key.
        source (str): What errors call them.

    Raises:
        UserError: If keys are missing or belong to neither tower, or shapes
            differ.
    """
    kept = state_dict
    if any(key.startswith(VISUAL) for key in state_dict):
        kept = {
            key[len(VISUAL) :] if key.startswith(VISUAL) else key: value
            for key, value in state_dict.items()
            if not key.startswith(TEXT_PREFIXES)
        }
    tower.expect(kept)
    load_strict(tower.visual, kept, source)


def load_text_tower(
    model: nn.Module, state_dict: StateDict, source: str
) -> None:
    """Loads all but the image tower; every key and shape must match.

    Args:
        model (nn.Module): An open_clip model without its ``visual``.
        state_dict (dict[str, Tensor]): Weights of a whole model.
        source (str): What errors call them.

    Raises:
        UserError: If there is no text tower, keys are missing or unexpected,
            or shapes differ.
    """
    text = {
        key: value
        for key, value in state_dict.items()
        if key.startswith(TEXT_PREFIXES)
    }
    if not any(key.startswith(VISUAL) for key in state_dict) or not text:
        raise UserError(
            f'checkpoint {source}: expected weights of the text tower too, '
            'which class_names and a TextCorpus ask for, got an image tower '
            'alone.'
        )
    own = model.state_dict()
    if not hasattr(model, 'positional_embedding'):
        text = convert_to_custom_text_state_dict(text)
    if POSITION_IDS not in own:
        text.pop(POSITION_IDS, None)
    # A scalar is stored as () or as (1,).
    for key in ('logit_scale', 'logit_bias'):
        if key in own and key in text and text[key].numel() == 1:
            text[key] = text[key].reshape(own[key].shape)
    load_strict(model, text, source)


def _download(name: str, card: Dict[str, Any], file: str) -> str:
    try:
        return open_clip.download_pretrained(card)
    except Exception as error:
        # The clients that open_clip downloads with raise errors of all kinds.
        reason = (str(error).splitlines() or [''])[0]
        raise UserError(
            f'teacher {name}: its pretrained weights could not be downloaded '
            f'({type(error).__name__}: {reason}); download {file} elsewhere '
            'and name the file with checkpoint=<path> in place of pretrained.'
        ) from error


def _published_file(card: Dict[str, Any]) -> str:
    if not card.get('hf_hub'):
        return card['url']
    repository, _, file = card['hf_hub'].rpartition('/')
    file = file or 'open_clip_model.safetensors'
    return f'{file} of https://huggingface.co/{repository}'
