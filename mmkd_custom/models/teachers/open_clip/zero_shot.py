"""A classifier out of class names: what a text tower says of each class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Union

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
        """Classifies images.

        Args:
            embedding (Tensor): Image embeddings (N, D), not normalised.

        Returns:
            Tensor: Logits (N, C), float32.
        """
        cosine = F.normalize(embedding.float(), dim=1) @ self.weight.float()
        return self.scale.float() * cosine + self.bias.float()


def class_embeddings(
    model: nn.Module,
    tokenizer: Callable[[List[str]], torch.Tensor],
    class_names: Sequence[str],
    templates: Sequence[str],
) -> torch.Tensor:
    """Embeds classes: the normalised mean of normalised text embeddings.

    ``w_c = m_c / ||m_c||`` with ``m_c = 1/T sum_t e_tc / ||e_tc||``, where
    e_tc is the embedding of template t with the name of class c in it.

    Args:
        model (nn.Module): Whose ``encode_text(tokens, normalize=True)`` gives
            L2-normalised embeddings (N, D).
        tokenizer (Callable): Texts to tokens.
        class_names (Sequence[str]): C names.
        templates (Sequence[str]): T texts with '{}' where the name goes.

    Returns:
        Tensor: (D, C), on the CPU.
    """
    device = next(model.parameters()).device
    step = max(1, TEXTS_PER_BATCH // len(templates))
    embeddings = []
    with torch.no_grad():
        for start in range(0, len(class_names), step):
            names = class_names[start : start + step]
            texts = [t.replace(PLACE, n) for n in names for t in templates]
            found = model.encode_text(
                tokenizer(texts).to(device), normalize=True
            )
            # (C * T, D) -> (C, T, D) -> (C, D)
            found = found.unflatten(0, (len(names), len(templates))).mean(1)
            embeddings.append(F.normalize(found, dim=1).cpu())
    return torch.cat(embeddings).t().contiguous()


def check_class_names(class_names: Any) -> List[str]:
    """Checks names of classes.

    Args:
        class_names (Any): What the user gave.

    Returns:
        list[str]: They.

    Raises:
        UserError: If they are not a list of at least one name.
    """
    if isinstance(class_names, str) or not isinstance(class_names, Sequence):
        raise UserError(
            f'teacher: class_names={class_names!r} is not a list of names, '
            'one a class in the order of their labels.'
        )
    if not class_names:
        raise UserError(
            'teacher: class_names is empty, but a text head needs a name for '
            'each class.'
        )
    for index, name in enumerate(class_names):
        if not isinstance(name, str) or not name.strip():
            raise UserError(
                f'teacher: class_names[{index}] is {name!r}, but the name of '
                'a class is wanted.'
            )
    return list(class_names)


def load_templates(templates: Union[str, Sequence[str]]) -> List[str]:
    """Finds prompt templates.

    Args:
        templates (str | Sequence[str]): Name of one of the package's own sets
            ('general', 8 of any kind of picture; 'diverse', 80 in the style
            of those published with CLIP for ImageNet), path of a text file
            with one a line, or the templates themselves. The published ones
            are ``[t('{}') for t in open_clip.OPENAI_IMAGENET_TEMPLATES]``.

    Returns:
        list[str]: At least one, each with '{}' where the name goes.

    Raises:
        UserError: If there is no such set or file, or a template has no '{}'.
    """
    given = templates
    if isinstance(templates, str):
        templates = _named(templates)
    if not isinstance(templates, Sequence) or not templates:
        raise UserError(
            f'teacher: templates={given!r} holds none, but at least one such '
            "as 'a photo of a {}.' is wanted."
        )
    for template in templates:
        if not isinstance(template, str) or PLACE not in template:
            raise UserError(
                f'teacher: the template {template!r} has no {PLACE!r} where '
                'the name of the class goes.'
            )
    return list(templates)


def _named(name: str) -> List[str]:
    sets = json.loads(TEMPLATES_FILE.read_text(encoding='utf-8'))
    if name in sets:
        return sets[name]
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(
            f'teacher: templates={name!r} is neither the path of a text file '
            f'nor one of the sets here; {nearest(name, sets)}.'
        )
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise UserError(
            f'teacher: templates={name!r} is no text file in UTF-8 ({error}).'
        ) from error
    return [line.strip() for line in lines if line.strip()]
