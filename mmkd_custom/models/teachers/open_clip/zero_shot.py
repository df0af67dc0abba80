"""A classifier out of class names: what a text tower says of each class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Union

import open_clip
import torch
import torch.nn as nn
import torch.nn.functional as F

from ....errors import UserError, nearest

#: Where the named sets of templates are; the package's own.
TEMPLATES_FILE = Path(__file__).parent / 'data' / 'templates.json'

#: Where a template takes the name of a class.
PLACE = '{}'

#: How many texts go through the text tower at once.
TEXTS_PER_BATCH = 256


class ZeroShotHead(nn.Module):
    """Compares image embeddings with one text embedding a class.

    ``logits = scale * (x / ||x||) @ W + bias``, computed in float32: CLIP's
    (https://arxiv.org/abs/2103.00020, section 3.1.2), with SigLIP's bias.

    Args:
        weight (Tensor): W (D, C), an L2-normalised embedding a column.
        scale (Tensor): The exponential of the model's logit scale; one
            number.
        bias (Tensor, optional): The model's logit bias, one number; None is
            0. Defaults to None.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        scale: torch.Tensor,
        bias: Optional[torch.Tensor] = None,
    ) -> None:
        super().__init__()
        bias = torch.zeros(()) if bias is None else bias
        self.register_buffer('weight', weight.detach())
        self.register_buffer('scale', scale.detach().reshape(()))
        self.register_buffer('bias', bias.detach().reshape(()))

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Returns the logits (N, C) in float32.

        Args:
            embedding (Tensor): Image embeddings (N, D), not normalised.
        """
        cosine = F.normalize(embedding.float(), dim=1) @ self.weight.float()
        return self.scale.float() * cosine + self.bias.float()


def zero_shot_head(
    model: nn.Module,
    tokenizer: Callable[[List[str]], torch.Tensor],
    class_names: Sequence[str],
    templates: Sequence[str],
) -> ZeroShotHead:
    """Returns the head of some classes, on the CPU.

    A class is embedded as ``w_c = m_c / ||m_c||`` with ``m_c = 1/T sum_t e_tc
    / ||e_tc||``, where e_tc is the embedding of template t with the name of
    class c in it.

    Args:
        model (nn.Module): An open_clip model, of which the text tower and the
            scale are used.
        tokenizer (Callable): Texts to tokens.
        class_names (Sequence[str]): C names.
        templates (Sequence[str]): T texts with '{}' where the name goes.
    """
    if torch.cuda.is_available():
        model.cuda()
    weight = open_clip.build_zero_shot_classifier(
        model,
        tokenizer,
        class_names,
        # Not str.format: other braces in a template or a name are theirs.
        [lambda name, t=t: t.replace(PLACE, name) for t in templates],
        max(1, TEXTS_PER_BATCH // len(templates)),
        next(model.parameters()).device,
    )
    bias = getattr(model, 'logit_bias', None)
    return ZeroShotHead(
        weight.cpu().contiguous(),
        model.logit_scale.exp().cpu(),
        None if bias is None else bias.cpu(),
    )


def check_class_names(
    class_names: Any, option: str = 'teacher: class_names'
) -> List[str]:
    """Returns the names of classes as a list.

    Args:
        class_names (Any): What the user gave.
        option (str): The option that gave it. Defaults to
            'teacher: class_names'.

    Raises:
        UserError: If they are not a list of at least one name.
    """
    listed = isinstance(class_names, Sequence) and not isinstance(
        class_names, str
    )
    if not listed or not class_names:
        raise UserError(
            f'{option}: expected a list of names, one a class in the order of '
            f'their labels, got {class_names!r}.'
        )
    for index, name in enumerate(class_names):
        if not isinstance(name, str) or not name.strip():
            raise UserError(
                f'{option}[{index}]: expected the name of a class, got '
                f'{name!r}.'
            )
    return list(class_names)


def load_templates(
    templates: Union[str, Sequence[str]], option: str = 'teacher: templates'
) -> List[str]:
    """Returns prompt templates.

    Args:
        templates (str | Sequence[str]): Name of one of the package's own sets
            ('general', 8 of any kind of picture; 'diverse', 80 in the style
            of those published with CLIP for ImageNet), path of a text file
            with one a line, or the templates themselves. The published ones
            are ``[t('{}') for t in open_clip.OPENAI_IMAGENET_TEMPLATES]``.
        option (str): The option that gave them. Defaults to
            'teacher: templates'.

    Raises:
        UserError: If there is no such set or file, or a template has no '{}'.
    """
    given = templates
    if isinstance(templates, str):
        templates = _named(templates, option)
    if not isinstance(templates, Sequence) or not templates:
        raise UserError(
            f"{option}: expected at least one such as 'a photo of a {{}}.', "
            f'got {given!r}.'
        )
    for template in templates:
        if not isinstance(template, str) or PLACE not in template:
            raise UserError(
                f'{option}: expected {PLACE!r} where the name of the class '
                f'goes, got {template!r}.'
            )
    return list(templates)


def _named(name: str, option: str) -> List[str]:
    sets = json.loads(TEMPLATES_FILE.read_text(encoding='utf-8'))
    if name in sets:
        return sets[name]
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(
            f'{option}: expected the path of a text file or one of '
            f'{", ".join(sets)}, got {name!r}; {nearest(name, sets)}.'
        )
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise UserError(
            f'{option}: expected a text file in UTF-8, got {name!r} ({error}).'
        ) from error
    return [line.strip() for line in lines if line.strip()]
