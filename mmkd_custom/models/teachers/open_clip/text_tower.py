"""The text tower of an open_clip model: sentences in, embeddings out."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence, Union

import torch
import torch.nn as nn
import torch.nn.functional as F

from ....errors import UserError
from ..base import FrozenTeacher
from ..frozen import FrozenNetwork
from .models import build, find_config, find_tokenizer
from .weights import find_weights, load_text_tower
from .zero_shot import zero_shot_head


class TextTower(FrozenNetwork):
    """Embeds sentences, frozen and in float32.

    Args:
        model (nn.Module): An open_clip model, of which the image tower is
            dropped.
        tokenizer (Callable): Texts to tokens (N, length); what is too long is
            cut.
        name (str): Of the model.
        weights (str): Where they came from. Defaults to 'random'.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Callable[[List[str]], torch.Tensor],
        name: str,
        weights: str = 'random',
    ) -> None:
        super().__init__()
        if hasattr(model, 'visual'):
            del model.visual
        self.model = model
        self.tokenizer = tokenizer
        self.name, self.weights = name, weights
        self.width = self.embed(['']).shape[1]

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeds N texts.

        Args:
            texts (Sequence[str]): N of them.

        Returns:
            Tensor: (N, D), L2-normalised, where the tower is.
        """
        device = next(self.model.parameters()).device
        tokens = self.tokenizer(list(texts)).to(device)
        with torch.autocast(device.type, enabled=False):
            return F.normalize(self.model.encode_text(tokens).float(), dim=1)

    def classes(
        self, names: Sequence[str], templates: Sequence[str]
    ) -> torch.Tensor:
        """Embeds C classes, each by all of its prompts.

        Args:
            names (Sequence[str]): C names.
            templates (Sequence[str]): With '{}' where the name goes.

        Returns:
            Tensor: (D, C) on the CPU: the mean of the L2-normalised embeddings
            of the prompts, normalised again.
        """
        head = zero_shot_head(self.model, self.tokenizer, names, templates)
        return head.weight.float()


def load_tower(
    model_name: str,
    checkpoint: Optional[str] = None,
    pretrained: Union[str, bool, None] = None,
) -> TextTower:
    """Builds the text tower of a model.

    Random weights, which are good for a rehearsal alone, are the same
    whenever it is built.

    Args:
        model_name (str): As of an ``OpenCLIPTeacher``.
        checkpoint (str, optional): Likewise. Defaults to None.
        pretrained (str | bool, optional): Likewise. Defaults to None.

    Raises:
        UserError: If weights or tokenizer cannot be had, or do not match.
    """
    name, config = find_config(model_name)
    tokenizer = find_tokenizer(name, config)
    found = find_weights(name, checkpoint, pretrained)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(name, config, found.quick_gelu, with_text=True)
    del model.visual
    if found.state_dict is None:
        return TextTower(model, tokenizer, name)
    load_text_tower(model, found.state_dict, found.source)
    return TextTower(model, tokenizer, name, found.source)


def text_tower_of(teacher: FrozenTeacher) -> TextTower:
    """Returns the text tower that belongs to a teacher, built anew.

    Args:
        teacher (FrozenTeacher): An ``OpenCLIPTeacher``, in a
            ``CachedTeacher`` or not.

    Raises:
        UserError: If it has none.
    """
    inner: Any = teacher
    while getattr(inner, 'transparent', False):
        inner = inner.teacher
    if not hasattr(inner, 'text_tower'):
        raise UserError(
            f'teacher {teacher.name}: expected an OpenCLIPTeacher, whose text '
            f'tower embeds sentences, got a {type(inner).__name__}.'
        )
    return inner.text_tower()
