"""A classifier beside the networks that it may be compared with."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn
from mmengine.model import ModuleDict
from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.structures import DataSample

from ...errors import UserError, nearest
from ...registry import MODELS
from ...stages import STUDENT, TEACHER
from ..batch import Batch, Pixels
from ..networks import OwnedNetwork
from ..outputs import LOGITS, MAPS, TOKENS, Shape
from ..source import Source
from ..student import Student, Tapped, tap
from ..teachers import FrozenTeacher
from .building import (
    build_preprocessor,
    build_student,
    build_teachers,
    fit_preprocessor,
)


class _Held:
    """Holds teachers without owning them: no children, never deep-copied."""

    def __init__(self, teachers: Dict[str, FrozenTeacher]) -> None:
        self.teachers = teachers

    def __deepcopy__(self, memo: dict) -> _Held:
        return self


class TaughtClassifier(BaseClassifier):
    """A student, the teachers it holds and the networks it owns.

    ``mode='tensor'`` and ``mode='predict'`` go to the student alone, so
    validation, EMA, TTA and every hook and metric of MMPretrain work
    unchanged. Teachers are held, not owned: they are in neither
    ``parameters()`` nor ``state_dict()``, so they reach no optimiser,
    reducer, averaged copy or checkpoint.

    Args:
        student (dict | nn.Module): Any MMPretrain classifier.
        teacher (dict | FrozenTeacher, optional): The frozen teacher, named
            ``teacher``. Defaults to None.
        teachers (dict[str, dict], optional): Several, by name, in its place.
            Defaults to None.
        classifier (str, optional): Module path of the student's last linear
            layer. Found when None. Defaults to None.
        input_size (int): Size of the dry run that finds it, and that tells
            the shapes of the student's maps. Defaults to 224.
        data_preprocessor (dict | nn.Module, optional): As for
            ``ImageClassifier``; becomes a
            :class:`~mmkd_custom.models.DistillDataPreprocessor`. Defaults to
            None, the student's own. Batch augmentations of the student's
            ``train_cfg`` are taken over.
        init_cfg (dict, optional): Defaults to None.
        map_indices (Sequence[int], optional): Which of the student's stages
            or blocks give its maps, counted from 0, see
            :class:`~mmkd_custom.models.backbone_taps.BackboneTaps`. Defaults
            to None, chosen as there.
    """

    def __init__(
        self,
        student: Union[dict, nn.Module],
        teacher: Union[dict, FrozenTeacher, None] = None,
        teachers: Optional[Dict[str, Union[dict, FrozenTeacher]]] = None,
        classifier: Optional[str] = None,
        input_size: int = 224,
        data_preprocessor: Union[dict, nn.Module, None] = None,
        init_cfg: Optional[dict] = None,
        map_indices: Optional[Sequence[int]] = None,
    ) -> None:
        super().__init__(
            init_cfg=init_cfg,
            data_preprocessor=build_preprocessor(data_preprocessor, student),
        )
        self.student = build_student(student)
        self._held = _Held(build_teachers(teacher, teachers))
        view = Student(
            self.student,
            classifier,
            input_size,
            scores=getattr(self.data_preprocessor, 'to_onehot', False),
        )
        self._split, self.input_size = view.split, input_size
        self._tapped: Optional[Tapped] = None
        self._map_indices = map_indices
        fit_preprocessor(self.data_preprocessor, view)
        self.networks = ModuleDict()

    def _add_network(self, name: str, network: Union[dict, nn.Module]) -> None:
        if network is None:
            return
        taken = (STUDENT, 'batch', *self.teachers)
        if name in taken or hasattr(nn.ModuleDict, name) or '.' in name:
            raise UserError(
                f'networks: expected a name other than {", ".join(taken)}, '
                f'got {name!r}.'
            )
        if isinstance(network, dict):
            network = MODELS.build(network)
        if not isinstance(network, OwnedNetwork):
            raise UserError(
                f'networks.{name}: expected an OwnedNetwork such as '
                f'LinearProbe, got a {type(network).__name__}.'
            )
        network.attach(self)
        self.networks[name] = network

    @property
    def teachers(self) -> Dict[str, FrozenTeacher]:
        """dict[str, FrozenTeacher]: Held, not child modules, by name."""
        return self._held.teachers

    @property
    def teacher(self) -> Optional[FrozenTeacher]:
        """FrozenTeacher: The one that is named so; None without."""
        return self.teachers.get(TEACHER)

    @property
    def student_view(self) -> Student:
        """Student: The encoder/classifier split of ``self.student``."""
        # Made anew: a deep copy of the distiller (EMA) has another student.
        return Student(self.student, split=self._split, tapped=self._tapped)

    def network(self, name: str) -> Any:
        """Returns a network by its name.

        Raises:
            UserError: If there is none; lists those there are.
        """
        if name == STUDENT:
            return self.student_view
        if name in self.teachers:
            return self.teachers[name]
        if name in self.networks:
            return self.networks[name]
        known = (STUDENT, *self.teachers, *self.networks, 'batch')
        raise UserError(
            f'expected one of {", ".join(known)}, got {name!r} '
            f'({nearest(name, known)}).'
        )

    def shape_of(self, source: Source) -> Shape:
        """Returns the shape of what is at a place, for one image.

        Args:
            source (Source): The place.

        Returns:
            Shape: Its shape, by a dry run.

        Raises:
            UserError: If the network does not offer it; lists what it does,
                and the nearest.
        """
        if source.network == 'batch':
            shapes = dict(
                targets=Shape((), classes=self.student_view.num_classes),
                stream=Shape((), classes=3),
            )
        else:
            shapes = self.network(source.network).shapes
        path = source.output
        if source.network in self.teachers and source.want in (MAPS, TOKENS):
            size = self.input_size, self.input_size
            shapes = self.teachers[source.network].shapes_for(size)
        if source.network == STUDENT and path not in shapes:
            # Maps and tokens: only now does its backbone get taps.
            self._tapped = self._tapped or tap(
                self.student, self.input_size, self._map_indices
            )
            shapes = self.student_view.shapes
        name, _, index = path.partition('.')
        if index.startswith('-'):
            count = sum(known.startswith(f'{name}.') for known in shapes)
            path = f'{name}.{count + int(index)}'
        owned = source.network in self.networks
        if owned and source.view and not self.networks[source.network].view:
            raise UserError(
                f'{source}: expected no @{source.view}, because '
                f'{source.network} looks at no image, got one.'
            )
        if path not in shapes:
            offers = ', '.join(f'{k} ({v})' for k, v in shapes.items())
            hint = (
                "; networks=dict(probe=dict(type='LinearProbe')) gives it "
                'logits'
                if path == LOGITS
                else ''
            )
            (near,) = get_close_matches(path, shapes, 1, 0) or ('',)
            raise UserError(
                f'{source}: expected one of what {source.network} offers '
                f'({offers}), got {source.output!r} (nearest: {near!r}, '
                f'{shapes.get(near)}){hint}.'
            )
        return shapes[path]

    def extract_feat(self, inputs: torch.Tensor, **kwargs):
        """Extracts the student's features, as the student itself does."""
        return self.student.extract_feat(inputs, **kwargs)

    def predict(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[DataSample]] = None,
        **kwargs,
    ) -> List[DataSample]:
        """Predicts with the student alone."""
        return self.student.predict(inputs, data_samples, **kwargs)

    def get_layer_depth(self, param_name: str) -> Tuple[int, int]:
        """Returns the student's layer depth, for layer-wise rates."""
        return self.student.get_layer_depth(
            param_name.removeprefix('student.')
        )

    def _apply(self, fn, *args, **kwargs) -> TaughtClassifier:
        # Teachers are no children, yet they follow .to() and .cuda(): to the
        # device only, because their dtype is their own.
        super()._apply(fn, *args, **kwargs)
        device = next(self.student.parameters()).device
        for teacher in self.teachers.values():
            teacher.to(device)
        return self

    def batch(
        self,
        inputs: Optional[torch.Tensor],
        data_samples: List[DataSample],
        views: Optional[Dict[str, torch.Tensor]] = None,
    ) -> Batch:
        """Puts preprocessed data together.

        Args:
            inputs (Tensor, optional): As of :meth:`forward`.
            data_samples (list[DataSample]): Likewise.
            views (dict[str, Tensor], optional): Likewise. Defaults to None.

        Returns:
            Batch: What networks are asked about.
        """
        named = {} if inputs is None else {STUDENT: inputs}
        return Batch(
            data_samples,
            {**named, **(views or {})},
            getattr(self.data_preprocessor, 'pixels', Pixels()),
            next(self.student.parameters()).device,
        )
