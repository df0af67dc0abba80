"""The student: any classifier, split at its last linear layer."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence

import torch
import torch.nn as nn
from mmpretrain.structures import DataSample
from torch.func import functional_call

from ..errors import UserError
from ..stages import STUDENT
from .backbone_taps import BackboneTaps
from .batch import Batch
from .outputs import FEATURE, LOGITS, MAPS, TOKENS, Outputs, Shape
from .rehearsal import Split, own_loss, rehearse
from .taps import get_module, record_inputs
from .trace import Undropped


class Tapped(NamedTuple):
    """Taps on a student's backbone.

    Attributes:
        taps (BackboneTaps): They give maps and tokens.
        shapes (dict[str, Shape]): Of these, at the size of the dry run.
    """

    taps: BackboneTaps
    shapes: Dict[str, Shape]


@torch.no_grad()
def tap(
    model: nn.Module,
    input_size: int,
    map_indices: Optional[Sequence[int]] = None,
) -> Tapped:
    """Taps a student's backbone, for good.

    Args:
        model (nn.Module): An MMPretrain classifier with a ``backbone``.
        input_size (int): Height and width of a dry run.
        map_indices (Sequence[int], optional): As of :class:`BackboneTaps`.
            Defaults to None.

    Returns:
        Tapped: The taps.

    Raises:
        UserError: If it has no backbone, or that does not run at this size.
    """
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        raise UserError(
            'student: expected a classifier with a backbone, of which maps '
            f'and tokens are taken, got a {type(model).__name__}.'
        )
    size = (input_size, input_size)
    taps = BackboneTaps(backbone, size, STUDENT, map_indices)
    training = model.training
    image = torch.zeros(1, 3, input_size, input_size)
    backbone.eval()
    seen = taps(image.to(next(backbone.parameters())), (MAPS, TOKENS))
    model.train(training)
    said = Outputs(tokens=seen.tokens, grid=seen.grid, maps=seen.maps)
    return Tapped(taps, said.shapes())


class Student:
    """A view on a classifier: its encoder, its last linear layer, its loss.

    "Encoder" is everything before the last linear layer, so the feature is
    exactly what that layer consumes, but before the dropout that may lie
    between: the logits, and every term on them, keep the dropout. A deployed
    student has none, the customized teacher feature passes the last layer
    without, and matching a feature f that is dropped out with rate p would
    add p / (1 - p) f^2 to the squared error, which is in no equation. This
    object owns no parameter, and the classifier stays what it was.

    Args:
        model (nn.Module): Any MMPretrain classifier, ``TimmClassifier``
            included.
        classifier (str, optional): Module path of the last linear layer, such
            as ``head.fc``. Found by a dry run when None. Defaults to None.
        input_size (int): Height and width of the dry run. Defaults to 224.
        scores (bool): Whether labels come as a score of each class, as batch
            augmentations give them. Defaults to False.
        split (Split, optional): What the dry run has found before. Defaults
            to None.
        tapped (Tapped, optional): What :func:`tap` has made of its backbone;
            maps and tokens are offered with it only. Defaults to None.

    Attributes:
        split (Split): Where the model is split, and what it takes.
        feature_dim (int): Width D_s of the feature.
        num_classes (int): Number of classes C.

    Raises:
        UserError: If its logits are not the output of one linear layer, its
            predictions not their softmax or its loss not one of them alone.
    """

    def __init__(
        self,
        model: nn.Module,
        classifier: Optional[str] = None,
        input_size: int = 224,
        scores: bool = False,
        split: Optional[Split] = None,
        tapped: Optional[Tapped] = None,
    ) -> None:
        self.model = model
        self.tapped = tapped
        if split is None:
            if classifier is not None:
                layer = get_module(model, classifier, 'classifier')
                if not isinstance(layer, nn.Linear):
                    raise UserError(
                        f'classifier={classifier!r}: expected the last linear '
                        'layer (nn.Linear) of the student, got a '
                        f'{type(layer).__name__}.'
                    )
            split = rehearse(model, classifier, input_size, scores)
        self.split = split
        self.feature_dim = self.classifier.in_features
        self.num_classes = self.classifier.out_features

    @property
    def classifier(self) -> nn.Linear:
        """nn.Linear: The live last linear layer, θ_s^c."""
        return self.model.get_submodule(self.split.classifier)

    @property
    def shapes(self) -> Dict[str, Shape]:
        """dict[str, Shape]: What it offers, by path."""
        return {
            FEATURE: Shape((self.feature_dim,)),
            LOGITS: Shape((self.num_classes,)),
            **(self.tapped.shapes if self.tapped else {}),
        }

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Runs the student once, on mixed images if the batch has a mixup.

        Args:
            batch (Batch): With the view.
            wants (Sequence[str]): 'feature', 'logits', 'maps', 'tokens'.
            view (str, optional): Defaults to None, which is 'student'.

        Returns:
            Outputs: Feature f_s (N, D_s), never dropped out, logits z_s
            (N, C), dropped out where the model does so, and what is wanted
            of the others.
        """
        images = batch.image(view or STUDENT)
        if batch.mixup is not None:
            images = batch.mixup.mix(images)
        return self.run(images, wants)

    def run(
        self, inputs: torch.Tensor, wants: Sequence[str] = (FEATURE, LOGITS)
    ) -> Outputs:
        """Runs the student once on images.

        Args:
            inputs (Tensor): Normalised images (N, 3, H, W).
            wants (Sequence[str]): As of :meth:`ask`.

        Returns:
            Outputs: Likewise.
        """
        if MAPS not in wants and TOKENS not in wants:
            return self._run(inputs)
        with self.tapped.taps.listen() as seen:
            output = self._run(inputs)
        output.maps = seen.maps if MAPS in wants else None
        if TOKENS in wants:
            output.tokens, output.grid = seen.tokens, seen.grid
        return output

    def _run(self, inputs: torch.Tensor) -> Outputs:
        tap = self.model.get_submodule(self.split.feature_module)
        with record_inputs(tap) as consumed:
            if not self.split.functional:
                logits = self.model(inputs, mode='tensor')
                return Outputs(consumed[-1], logits)
            with Undropped() as undropped:
                logits = self.model(inputs, mode='tensor')
        return Outputs(undropped.source(consumed[-1]), logits)

    def classify(self, feature: torch.Tensor) -> torch.Tensor:
        """Classifies any feature of width D_s with the live last layer.

        The weights are the live ones, never a copy, but detached: gradients
        pass through the layer to ``feature`` and never into the layer. Hooks
        of the layer, such as those of quantisation-aware training that take
        the range of its input, are left out: the feature may be a teacher's.

        Args:
            feature (Tensor): (N, D_s).

        Returns:
            Tensor: Logits (N, C).
        """
        layer = _Unhooked(self.classifier)
        weights = {
            name: parameter.detach()
            for name, parameter in layer.named_parameters()
        }
        return functional_call(layer, weights, (feature,))

    def supervised_loss(
        self, logits: torch.Tensor, data_samples: List[DataSample]
    ) -> torch.Tensor:
        """Computes the classifier's own loss, label smoothing and all.

        Args:
            logits (Tensor): (N, C).
            data_samples (list[DataSample]): N samples with ``gt_label`` or,
                after a batch augmentation, ``gt_score``.

        Returns:
            Tensor: Scalar.
        """
        return own_loss(self.model, logits, data_samples)


class _Unhooked(nn.Module):
    """A module without the hooks that sit on it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module.forward(x)
