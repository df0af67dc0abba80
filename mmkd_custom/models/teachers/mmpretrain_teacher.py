"""A frozen teacher from MMPretrain."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any, Optional, Tuple, Union

import mmpretrain
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmpretrain.apis import ModelHub
from mmpretrain.models import ImageClassifier

from ...errors import UserError, nearest
from ...registry import MODELS
from .base import FrozenTeacher, TeacherOutput
from .weights import load_state_dict, load_strict

PREFIX = 'mmpretrain::'

#: Pixels that are enough for the dry run of a network of free input size.
DRY_RUN_SIZE = 64


@MODELS.register_module()
class MMPretrainTeacher(FrozenTeacher):
    """Any MMPretrain ``ImageClassifier``.

    Its feature is ``extract_feat(stage='pre_logits')``, what its final
    classifier consumes; without a head the last output of backbone and neck,
    averaged over positions if it is a map. Its normalisation and order of
    channels are those of its own data preprocessor. With neither
    ``checkpoint`` nor ``pretrained`` the weights are random, which a warning
    says.

    Args:
        model (dict | str): Config of a classifier, its name in the model zoo
            ('resnet50_8xb32_in1k', also with 'mmpretrain::' before it), or
            the path of a config file ('mmpretrain::resnet/….py' for one of
            MMPretrain's own).
        checkpoint (str, optional): Where its weights are: see
            :func:`~mmkd_custom.models.teachers.load_state_dict`. Defaults to
            None.
        pretrained (bool): Whether the model zoo's weights are downloaded.
            Defaults to False.
        input_size (int | tuple[int, int], optional): Pixels; None is what the
            student sees. Defaults to None.
        data_preprocessor (dict, optional): ``mean``, ``std``, ``to_rgb`` in
            place of the model's own. Defaults to None.
        interpolation (str): 'bicubic', 'bilinear' or 'nearest'. Defaults to
            'bicubic'.
        patch_multiple (int): Height and width must be multiples of it.
            Defaults to 1.
        dtype (str): 'float32', 'bfloat16' or 'float16'. Defaults to
            'float32'.
        channels_last (bool): Memory layout. Defaults to True.

    Raises:
        UserError: If MMPretrain does not know the model, it is no classifier
            with one feature an image, or the weights cannot be had or do not
            match.
    """

    def __init__(
        self,
        model: Union[dict, str],
        checkpoint: Optional[str] = None,
        pretrained: bool = False,
        input_size: Union[int, Tuple[int, int], None] = None,
        data_preprocessor: Optional[dict] = None,
        interpolation: str = 'bicubic',
        patch_multiple: int = 1,
        dtype: str = 'float32',
        channels_last: bool = True,
    ) -> None:
        config, name, url = _resolve(model)
        if checkpoint is not None and pretrained:
            raise UserError(
                f'teacher {name}: checkpoint={checkpoint!r} and '
                'pretrained=True both name weights, but one is wanted.'
            )
        if pretrained and url is None:
            raise UserError(
                f'teacher {name}: MMPretrain names no pretrained weights for '
                'it; name a file of them with checkpoint=<path>.'
            )
        if data_preprocessor is not None:
            config.model['data_preprocessor'] = dict(data_preprocessor)
        classifier = mmpretrain.get_model(config)
        if not isinstance(classifier, ImageClassifier):
            raise UserError(
                f'teacher {name}: is a {type(classifier).__name__}, but an '
                'ImageClassifier is wanted (for a model of timm, use '
                'TimmTeacher).'
            )
        source = url if pretrained else checkpoint
        if source is None:
            print_log(
                f'teacher {name}: its weights are random, because neither '
                'checkpoint nor pretrained was given.',
                logger='current',
                level=logging.WARNING,
            )
        else:
            state_dict, source = load_state_dict(source)
            head = () if classifier.with_head else ('head',)
            load_strict(classifier, state_dict, source, head)

        mean, std, to_rgb = _normalisation(classifier, name)
        super().__init__(
            mean=mean,
            std=std,
            input_size=input_size,
            interpolation=interpolation,
            patch_multiple=patch_multiple,
            dtype=dtype,
            channels_last=channels_last,
        )
        self.name = name
        if source is not None:
            self.weights = source
        self.to_rgb = to_rgb
        self.model = classifier
        size = (
            self.input_size
            or getattr(classifier.backbone, 'img_size', None)
            or DRY_RUN_SIZE
        )
        self.infer_dims((size, size) if isinstance(size, int) else size)

    def encode(self, inputs: torch.Tensor) -> TeacherOutput:
        """Runs the classifier's backbone and neck once, then its head.

        Args:
            inputs (Tensor): RGB (N, 3, H, W), normalised for this model.

        Returns:
            TeacherOutput: Feature (N, D), and logits (N, C) if it has a head.
        """
        if not self.to_rgb:
            inputs = inputs.flip(1)
        outputs = self.model.extract_feat(inputs, stage='neck')
        if not self.model.with_head:
            last = (
                outputs[-1] if isinstance(outputs, (tuple, list)) else outputs
            )
            return TeacherOutput(_pool(last))
        feature = _pool(self.model.head.pre_logits(outputs))
        return TeacherOutput(feature, self.model.head(outputs))


def _resolve(model: Union[dict, str]) -> Tuple[Config, str, Optional[str]]:
    """Finds the config, the name and the URL of the weights of a model."""
    if not isinstance(model, str):
        config = Config(dict(model=copy.deepcopy(dict(model))))
        return config, str(config.model.get('type')), None
    name = model[len(PREFIX) :] if model.startswith(PREFIX) else model
    if name.endswith('.py'):
        path = Path(name)
        if name != model:
            path = Path(mmpretrain.__file__).parent / '.mim/configs' / name
        if not path.is_file():
            raise UserError(
                f'teacher: model={model!r} names no file: there is no {path}.'
            )
        config = Config.fromfile(str(path))
        return config, path.stem, config.get('load_from')
    known = mmpretrain.list_models()
    if name.lower() not in known:
        raise UserError(
            f'teacher: MMPretrain knows no model {name!r}; '
            f'{nearest(name, known)}.'
        )
    entry = ModelHub.get(name)
    return entry.config, name, entry.weights


def _normalisation(
    classifier: ImageClassifier, name: str
) -> Tuple[Any, Any, bool]:
    """Gives means and deviations in the order R, G, B, and ``to_rgb``."""
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


def _pool(feature: Any) -> Any:
    # (N, D, H, W) -> (N, D)
    if torch.is_tensor(feature) and feature.ndim == 4:
        return feature.mean((2, 3))
    return feature
