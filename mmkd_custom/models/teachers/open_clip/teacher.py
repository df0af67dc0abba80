"""A frozen teacher from open_clip."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple, Union

import torch

from ....errors import UserError
from ....registry import MODELS
from ...outputs import FEATURE, LOGITS, MAPS, TOKENS, Outputs
from ..base import FrozenTeacher
from .models import build, find_config, find_tokenizer, read_card
from .text_tower import TextTower, load_tower
from .towers import ImageTower, image_tower
from .weights import find_weights, load_image_tower, load_text_tower
from .zero_shot import (
    check_class_names,
    load_templates,
    zero_shot_head,
)

CARD = 'card'
GENERAL = 'general'

PROJECTED, POOLED, CLS, PATCHES = 'projected', 'pooled', 'cls', 'patches'
FEATURES = (PROJECTED, POOLED, CLS, PATCHES)

#: Pixels that are enough for the dry run of any network of free input size.
DRY_RUN_SIZE = 128


@MODELS.register_module()
class OpenCLIPTeacher(FrozenTeacher):
    """Any open_clip model: its image tower, and zero-shot logits.

    The text tower is asked once, for the class head, and not kept;
    :meth:`text_tower` builds it anew. With
    neither ``checkpoint`` nor ``pretrained`` the weights are random, which a
    warning says. Preprocessing comes from the model's card: what its weights
    were published with. Of that the way to crop is not used: the teacher sees
    the student's crop.

    Which tensor ``feature`` is, by family; none is L2-normalised:

    - 'projected': the image embedding, open_clip's ``encode_image(images)``
      without its normalisation; in every family.
    - 'pooled': what the last projection consumes. ViT-*: the class token
      after the final LayerNorm; CLIPA: the normalised mean of the patch
      tokens; CoCa: the first output of the attention pooling, normalised;
      RN*: the mean over positions of the last map (their attention pooling
      projects by itself); timm trunks (EVA02, ConvNeXt, MobileCLIP, ...): the
      trunk's own pooled feature; SigLIP: its attention pooling, which is
      'projected' too because nothing follows it.
    - 'cls': the class token after the final LayerNorm, in ViT-* the same as
      'pooled'; in CoCa, which normalises only after its pooling, as it comes.
      RN*, SigLIP, ConvNeXt and MobileCLIP-S* have none.
    - 'patches': the mean of the tokens below.

    ``tokens`` are the patch tokens after the final LayerNorm (CoCa: before
    the pooling); of RN* and convolutional trunks the positions of the last
    map. ``maps`` are those of each stage; of plain vision transformers those
    after four evenly spaced blocks, before that LayerNorm.

    Args:
        model_name (str): Name in ``open_clip.list_models()``, such as
            'ViT-B-16'. OpenAI's weights, and all whose card says so, want
            QuickGELU: it is set for their tag and for OpenAI's own layout,
            and in 'ViT-B-16-quickgelu' for any other file.
        checkpoint (str, optional): Where its weights are: see
            :func:`~mmkd_custom.models.teachers.load_state_dict`. The layouts
            of open_clip and OpenAI are taken, and without ``class_names``
            that of an image tower alone. Defaults to None.
        pretrained (str | bool, optional): A tag of
            ``open_clip.list_pretrained_tags_by_model(model_name)``, whose
            weights open_clip downloads; True is the only one there is, False
            is None. Defaults to None.
        feature (str, optional): 'projected', 'pooled', 'cls' or 'patches';
            None is the family's own, 'projected'. Defaults to None.
        class_names (Sequence[str], optional): Names of the classes in the
            order of their labels. None drops the text tower and with it the
            logits. Defaults to None.
        templates (str | Sequence[str]): Prompts for ``class_names``: see
            :func:`~mmkd_custom.models.teachers.open_clip.zero_shot.load_templates`.
            Defaults to 'general'.
        input_size (int | tuple[int, int] | 'card', optional): Pixels; 'card'
            is what the model was trained with, None what the student sees,
            for towers that take any size (ViT-*, CLIPA, CoCa, ConvNeXt,
            MobileCLIP-S*). Position embeddings are interpolated. Defaults to
            'card'.
        mean (Sequence[float], optional): Means of R, G, B on 0-255 pixels;
            None takes the card's. Defaults to None.
        std (Sequence[float], optional): Likewise. Defaults to None.
        interpolation (str, optional): 'bicubic', 'bilinear' or 'nearest';
            None takes the card's. Defaults to None.
        **execution (Any): ``dtype``, ``channels_last``, ``max_batch`` and
            ``compile`` of :class:`FrozenTeacher`.

    Attributes:
        classes (tuple[str], optional): Names of the classes.
        own_words (bool): True: the dataset may call its classes otherwise.

    Raises:
        UserError: If open_clip does not know the name or the tag, an option
            has no such value, or weights or tokenizer cannot be had or do not
            match.
    """

    own_words = True

    def __init__(
        self,
        model_name: str,
        checkpoint: Optional[str] = None,
        pretrained: Union[str, bool, None] = None,
        feature: Optional[str] = None,
        class_names: Optional[Sequence[str]] = None,
        templates: Union[str, Sequence[str]] = GENERAL,
        input_size: Union[int, Tuple[int, int], str, None] = CARD,
        mean: Optional[Sequence[float]] = None,
        std: Optional[Sequence[float]] = None,
        interpolation: Optional[str] = None,
        **execution: Any,
    ) -> None:
        name, config = find_config(model_name)
        feature = PROJECTED if feature is None else feature
        if feature not in FEATURES:
            raise UserError(
                f'teacher {name}: feature: expected one of '
                f'{", ".join(FEATURES)}, got {feature!r}.'
            )
        prompts = _prompts(name, class_names, templates)
        tokenizer = find_tokenizer(name, config) if prompts else None
        published, quick_gelu, state_dict, weights = find_weights(
            name, checkpoint, pretrained
        )
        model = build(name, config, quick_gelu, with_text=bool(prompts))
        tower = image_tower(model.visual)
        del model.visual
        if feature == CLS and not tower.has_cls:
            raise UserError(
                f'teacher {name}: feature: expected {PROJECTED}, {POOLED} or '
                f'{PATCHES}, as its image tower has no class token, got '
                f'{CLS!r}.'
            )
        if weights is not None:
            load_image_tower(tower, state_dict, weights)
            if prompts:
                load_text_tower(model, state_dict, weights)

        card = read_card(name, tower.visual, published)
        super().__init__(
            mean=[255 * m for m in card['mean']] if mean is None else mean,
            std=[255 * s for s in card['std']] if std is None else std,
            input_size=tower.size if input_size == CARD else input_size,
            interpolation=interpolation or card['interpolation'],
            patch_multiple=_patch_multiple(tower, input_size),
            **execution,
        )
        self.name = name
        if weights is not None:
            self.weights = weights
        self.feature = feature
        self._texts = dict(
            model_name=name, checkpoint=checkpoint, pretrained=pretrained
        )
        self.classes = tuple(class_names) if prompts else None
        if prompts:
            self.head = zero_shot_head(model, tokenizer, class_names, prompts)
        if self.input_size is not None:
            tower.resize(self.input_size)
        elif not tower.any_size:
            raise UserError(
                f"teacher {name}: input_size: expected 'card' or a number of "
                'pixels, as it is built for one size, got None.'
            )
        self.tower = tower
        self.offers = (
            (FEATURE, TOKENS)
            + ((LOGITS,) if prompts else ())
            + ((MAPS,) if tower.has_maps else ())
        )
        step = tower.patch_multiple
        edge = 2 * step if step > 1 else DRY_RUN_SIZE
        self.infer_dims(self.input_size or (edge, edge))

    def text_tower(self) -> TextTower:
        """Returns the tower whose embeddings its feature is compared with.

        Raises:
            UserError: If the feature is another than 'projected', or its
                weights are those of an image tower alone.
        """
        if self.feature != PROJECTED:
            raise UserError(
                f'teacher {self.name}: feature: expected {PROJECTED!r}, which '
                f'texts are compared with, got {self.feature!r}.'
            )
        return load_tower(**self._texts)

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Runs the image tower once; see :meth:`FrozenTeacher.encode`."""
        tower = self.tower
        consumed = tower.consume(inputs, MAPS in wants)
        output = Outputs(maps=consumed.maps)
        if LOGITS in wants:
            projected = tower.projected(consumed)
            output.logits = self.head(projected)
            if self.feature == PROJECTED:
                output.feature = projected
        if FEATURE in wants and output.feature is None:
            output.feature = getattr(tower, self.feature)(consumed)
        if TOKENS in wants:
            output.tokens, output.grid = tower.tokens(consumed)
        return output


def _prompts(
    name: str,
    class_names: Optional[Sequence[str]],
    templates: Union[str, Sequence[str]],
) -> Sequence[str]:
    if class_names is not None:
        check_class_names(class_names)
        return load_templates(templates)
    if templates != GENERAL:
        raise UserError(
            f'teacher {name}: class_names: expected a list of names for '
            f'templates={templates!r}, got None.'
        )
    return ()


def _patch_multiple(
    tower: ImageTower, input_size: Union[int, Sequence[int], str, None]
) -> int:
    # Some were trained at a size (384 by patches of 14) whose remainder the
    # patch embedding drops.
    step, (height, width) = tower.patch_multiple, tower.size
    own = [CARD, (height, width), [height, width]]
    if height == width:
        own.append(height)
    return 1 if input_size in own and (height % step or width % step) else step
