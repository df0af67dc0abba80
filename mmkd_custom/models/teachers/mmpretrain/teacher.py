"""A frozen teacher from MMPretrain."""

from __future__ import annotations

import logging
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import mmpretrain
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.logging import print_log
from mmpretrain.models import ImageClassifier

from ....errors import UserError
from ....registry import MODELS
from ...backbone_taps import BackboneTaps, is_plain_transformer
from ...outputs import FEATURE, LOGITS, OUTPUTS, TOKENS, Outputs
from ..base import FrozenTeacher
from ..weights import check_sources, load_state_dict, load_strict
from .zoo import find_model

BACKBONE = 'backbone.'

POOLED, CLS, PATCHES = 'pooled', 'cls', 'patches'

#: Pixels that are enough for the dry run of a network of free input size.
DRY_RUN_SIZE = 128


@MODELS.register_module()
class MMPretrainTeacher(FrozenTeacher):
    """Any MMPretrain ``ImageClassifier``, or any backbone alone.

    Its normalisation and order of channels are those of its own data
    preprocessor. With neither ``checkpoint`` nor ``pretrained`` the weights
    are random, which a warning says.

    For its tokens and maps see
    :class:`~mmkd_custom.models.backbone_taps.BackboneTaps`; a network that
    has none does not offer them. All come from one pass of the backbone.

    Args:
        model (dict | str): Config of a classifier or of a backbone, the
            name of a classifier in the model zoo ('resnet50_8xb32_in1k', also
            with 'mmpretrain::' before it), or the path of a config file
            ('mmpretrain::resnet/….py' for one of MMPretrain's own).
        checkpoint (str, optional): Where its weights are: see
            :func:`~mmkd_custom.models.teachers.load_state_dict`. A backbone
            also takes those of a classifier with it. Defaults to None.
        pretrained (bool): Whether the model zoo's weights are downloaded.
            Defaults to False.
        feature (str): 'pooled' is what the final classifier consumes (of a
            ViT the class token, of a convolutional network the averaged last
            map), without a head the last output of backbone and neck,
            averaged over positions; several vectors (distilled DeiT,
            Conformer) are concatenated. Of a plain transformer also 'cls',
            the normalised class token, and 'patches', the mean of its
            normalised patch tokens. Defaults to 'pooled'.
        map_indices (Sequence[int], optional): Which stages, or blocks of a
            plain transformer, give maps, from 0; negative ones from the end.
            None takes the last stage of each resolution, or four evenly
            spaced blocks. Defaults to None.
        input_size (int | tuple[int, int], optional): Pixels; None is what the
            student sees. Defaults to None.
        data_preprocessor (dict, optional): ``mean``, ``std``, ``to_rgb`` in
            place of the model's own. Defaults to None.
        interpolation (str): 'bicubic', 'bilinear' or 'nearest'. Defaults to
            'bicubic'.
        patch_multiple (int, optional): Height and width must be multiples of
            it. None is the patch of a plain transformer, else 1. Defaults to
            None.
        **execution: How it runs; see :class:`FrozenTeacher`.

    Raises:
        UserError: If MMPretrain does not know or cannot build the model, it
            is neither a classifier nor a backbone, it takes one input size
            and none is given, it does not have the feature or the maps, or
            the weights cannot be had or do not match.
    """

    def __init__(
        self,
        model: Union[dict, str],
        checkpoint: Optional[str] = None,
        pretrained: bool = False,
        feature: str = POOLED,
        map_indices: Optional[Sequence[int]] = None,
        input_size: Union[int, Tuple[int, int], None] = None,
        data_preprocessor: Optional[dict] = None,
        interpolation: str = 'bicubic',
        patch_multiple: Optional[int] = None,
        **execution: Any,
    ) -> None:
        config, name, url = find_model(model)
        check_sources(name, checkpoint, pretrained)
        if pretrained and url is None:
            raise UserError(
                f'teacher {name}: MMPretrain has no pretrained weights of it; '
                'name a file with checkpoint=<path>.'
            )
        if data_preprocessor is not None:
            config.model['data_preprocessor'] = dict(data_preprocessor)
        classifier = _build(config, name)
        if not isinstance(classifier, ImageClassifier):
            raise UserError(
                f'teacher {name}: expected an ImageClassifier, got a '
                f'{type(classifier).__name__} (for a model of timm, use '
                'TimmTeacher).'
            )
        source = url if pretrained else checkpoint
        if source is not None:
            state_dict, source = load_state_dict(source)
            _load(classifier, state_dict, source)

        backbone = classifier.backbone
        patch = _patch(backbone)
        mean, std, to_rgb = _normalisation(classifier, name)
        super().__init__(
            mean=mean,
            std=std,
            input_size=input_size,
            interpolation=interpolation,
            patch_multiple=patch if patch_multiple is None else patch_multiple,
            **execution,
        )
        own_size = getattr(backbone, 'img_size', None) or DRY_RUN_SIZE
        size = self.input_size or own_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        if input_size is None and patch > 1:
            _check_any_size(backbone, patch, size, name)
        taps = BackboneTaps(backbone, size, f'teacher {name}', map_indices)
        known = [POOLED]
        known += [CLS] * taps.has_cls + [PATCHES] * taps.is_transformer
        if feature not in known:
            raise UserError(
                f'teacher {name}: expected feature out of {", ".join(known)}, '
                f'got {feature!r}.'
            )
        self.name = name
        if source is not None:
            self.weights = source
        self.feature = feature
        self.to_rgb = to_rgb
        self.model = classifier
        self._taps = taps
        self.offers = OUTPUTS
        self.infer_dims(size)

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Runs the backbone once, and of neck and head what is asked."""
        # Some of MMPretrain's make float32 masks or positions on the way
        # (Swin, XCiT), which half-precision layers refuse by themselves.
        half = inputs.dtype if inputs.dtype != torch.float32 else None
        with torch.autocast(inputs.device.type, half, half is not None):
            return self._ask(inputs, wants)

    def _ask(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        if not self.to_rgb:
            inputs = inputs.flip(1)
        pooled = FEATURE in wants and self.feature == POOLED
        extra = {CLS: (CLS,), PATCHES: (TOKENS,), POOLED: ()}[self.feature]
        seen = self._taps(inputs, (*wants, *extra))
        feature = logits = None
        outputs, model = seen.outputs, self.model
        if (pooled or LOGITS in wants) and model.with_neck:
            outputs = model.neck(outputs)
        if pooled and model.with_head:
            feature = _vector(model.head.pre_logits(outputs))
        elif pooled:
            several = isinstance(outputs, (tuple, list))
            feature = _vector(outputs[-1] if several else outputs)
        if LOGITS in wants and model.with_head:
            logits = model.head(outputs)
            if isinstance(logits, tuple):
                # Conformer's two heads, whose sum it predicts by.
                logits = sum(logits)
        if self.feature == CLS:
            feature = seen.cls
        elif self.feature == PATCHES:
            feature = seen.tokens.mean(1)
        return Outputs(feature, logits, seen.tokens, seen.grid, seen.maps)


def _build(config: Config, name: str) -> nn.Module:
    try:
        return mmpretrain.get_model(config)
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f'teacher {name}: MMPretrain cannot build it '
            f'({type(error).__name__}: {error}).'
        ) from error


def _check_any_size(
    backbone: nn.Module, patch: int, size: Tuple[int, int], name: str
) -> None:
    """Refuses a plain transformer that takes one size and was given none."""
    try:
        with torch.no_grad():
            # Few patches and no square, as no network is built for.
            backbone(torch.zeros(1, 3, 2 * patch, 3 * patch))
    except (AssertionError, RuntimeError, ValueError) as error:
        edge = size[0] if size[0] == size[1] else size
        raise UserError(
            f'teacher {name}: expected input_size={edge}, since it is built '
            'for one input size, got None.'
        ) from error


def _patch(backbone: nn.Module) -> int:
    """Returns the edge of a plain transformer's patch in pixels, else 1."""
    if not is_plain_transformer(backbone):
        return 1
    embedding = getattr(backbone, 'patch_embed', None)
    stride = getattr(getattr(embedding, 'projection', None), 'stride', 1)
    return max(stride) if isinstance(stride, tuple) else stride


def _load(
    classifier: ImageClassifier,
    state_dict: Dict[str, torch.Tensor],
    source: str,
) -> None:
    drop = () if classifier.with_head else ('head',)
    if not classifier.with_head and not classifier.with_neck:
        drop += ('neck',)
        if not any(key.startswith(BACKBONE) for key in state_dict):
            state_dict = {BACKBONE + k: v for k, v in state_dict.items()}
    load_strict(classifier, state_dict, source, drop)


def _normalisation(
    classifier: ImageClassifier, name: str
) -> Tuple[Any, Any, bool]:
    """Returns means and deviations in the order R, G, B, and ``to_rgb``."""
    preprocessor = classifier.data_preprocessor
    to_rgb = bool(getattr(preprocessor, 'to_rgb', False))
    if not getattr(preprocessor, '_enable_normalize', False):
        print_log(
            f'teacher {name}: its data_preprocessor normalises nothing, so '
            f'it sees pixels in 0-255, {"RGB" if to_rgb else "BGR"}; give '
            'data_preprocessor=dict(mean=…, std=…, to_rgb=…) if it was '
            'trained otherwise.',
            logger='current',
            level=logging.WARNING,
        )
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), to_rgb
    mean, std = (
        values.flatten().double().tolist()
        for values in (preprocessor.mean, preprocessor.std)
    )
    if not to_rgb:
        mean, std = mean[::-1], std[::-1]
    return mean, std, to_rgb


def _vector(feature: Any) -> Any:
    if isinstance(feature, (tuple, list)):
        return torch.cat([_vector(part) for part in feature], 1)
    # (N, D, H, W) -> (N, D)
    return feature.mean((2, 3)) if feature.ndim == 4 else feature
