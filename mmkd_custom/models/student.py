"""The student: any classifier, split at its last linear layer."""

from __future__ import annotations

from typing import List, Optional, Tuple

import torch
import torch.nn as nn
from mmpretrain.structures import DataSample
from torch.func import functional_call

from ..errors import UserError
from .data_preprocessor import send
from .taps import get_module, record_inputs, record_outputs


class Student:
    """A view on a classifier: its encoder, its last linear layer, its loss.

    "Encoder" is everything before the last linear layer, so the feature is
    exactly what that layer consumes (DESIGN decision 4). This object owns no
    parameter: it is a plain view, and the classifier stays what it was.

    Args:
        model (nn.Module): Any MMPretrain classifier, ``TimmClassifier``
            included.
        classifier (str, optional): Module path of the last linear layer, such
            as ``head.fc``. Found by one dry run when None. Defaults to None.
        input_size (int): Height and width of the dry run. Defaults to 224.

    Attributes:
        feature_dim (int): Width D_s of the feature.
        num_classes (int): Number of classes C.

    Raises:
        UserError: If the model does not end in one linear layer.
    """

    def __init__(
        self,
        model: nn.Module,
        classifier: Optional[str] = None,
        input_size: int = 224,
    ) -> None:
        self.model = model
        if classifier is None:
            classifier = _find_last_linear(model, input_size)
        self.classifier_path = classifier
        layer = get_module(model, classifier, 'classifier')
        if not isinstance(layer, nn.Linear):
            raise UserError(
                f'classifier={classifier!r} is a {type(layer).__name__}, but '
                'the last linear layer (nn.Linear) of the student is wanted.'
            )
        self.feature_dim = layer.in_features
        self.num_classes = layer.out_features

    @property
    def classifier(self) -> nn.Linear:
        """nn.Linear: The live last linear layer, θ_s^c."""
        return self.model.get_submodule(self.classifier_path)

    def forward(
        self, inputs: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Runs the student once.

        Args:
            inputs (Tensor): Normalised images (N, 3, H, W).

        Returns:
            tuple[Tensor, Tensor]: Feature f_s (N, D_s) and logits z_s (N, C).
        """
        with record_inputs(self.classifier) as consumed:
            logits = self.model(inputs, mode='tensor')
        if isinstance(logits, (list, tuple)):
            logits = logits[-1]
        return consumed[-1], logits

    def classify(self, feature: torch.Tensor) -> torch.Tensor:
        """Classifies any feature of width D_s with the live last layer.

        The weights are the live ones, never a copy, but detached: gradients
        pass through the layer to ``feature`` and never into the layer
        (METHODS 1, stage 1: θ_s^c takes part and does not change).

        Args:
            feature (Tensor): (N, D_s).

        Returns:
            Tensor: Logits (N, C).
        """
        layer = self.classifier
        weights = {
            name: parameter.detach()
            for name, parameter in layer.named_parameters()
        }
        return functional_call(layer, weights, (feature,))

    def supervised_loss(
        self, logits: torch.Tensor, data_samples: List[DataSample]
    ) -> torch.Tensor:
        """The classifier's own loss (label smoothing and all) on its logits.

        Args:
            logits (Tensor): (N, C).
            data_samples (list[DataSample]): N samples with ``gt_label`` or,
                after a batch augmentation, ``gt_score``.

        Returns:
            Tensor: Scalar.
        """
        head = getattr(self.model, 'head', None)
        owner = head if hasattr(head, 'loss_module') else self.model
        if not hasattr(owner, 'loss_module'):
            raise UserError(
                f'student: {type(self.model).__name__} has no loss module, '
                'but a classifier with a supervised loss is wanted.'
            )
        if 'gt_score' in data_samples[0]:
            target = torch.stack([s.gt_score for s in data_samples])
        else:
            target = torch.cat([s.gt_label for s in data_samples])
        return owner.loss_module(
            logits, send(target, logits.device), avg_factor=len(data_samples)
        )


def _find_last_linear(model: nn.Module, input_size: int) -> str:
    """Finds the linear layer whose output is the model's output."""
    linears = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    parameter = next(model.parameters())
    image = torch.zeros(
        1,
        3,
        input_size,
        input_size,
        device=parameter.device,
        dtype=parameter.dtype,
    )
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), record_outputs(linears) as outputs:
            logits = model(image, mode='tensor')
    except Exception as error:
        raise UserError(
            f'student: a dry run at {input_size}x{input_size} failed '
            f'({type(error).__name__}: {error}); set input_size to the '
            "student's training size or name the last linear layer with "
            'classifier.'
        ) from error
    finally:
        model.train(was_training)
    if isinstance(logits, (list, tuple)):
        logits = logits[-1]
    for name in reversed(list(outputs)):
        output = outputs[name]
        if output is logits or (
            torch.is_tensor(logits)
            and output.shape == logits.shape
            and torch.equal(output, logits)
        ):
            return name
    raise UserError(
        f'student: the logits of {type(model).__name__} are not the output of '
        'one linear layer, but a classifier that ends in nn.Linear is wanted '
        f'(linear layers it has: {", ".join(list(linears)[-3:]) or "none"}; '
        'name one with classifier).'
    )
