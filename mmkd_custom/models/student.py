"""The student: any classifier, split at its last linear layer."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from ..errors import UserError
from .data_preprocessor import send
from .taps import get_module, record_inputs, record_outputs


class Student:
    """A view on a classifier: its encoder, its last linear layer, its loss.

    "Encoder" is everything before the last linear layer, so the feature is
    exactly what that layer consumes (DESIGN decision 4), but before the
    dropout that may lie between: the logits, and every term on them, keep
    the dropout. A deployed student has none, the customized teacher feature
    passes the last layer without, and matching a feature f that is dropped
    out with rate p would add p / (1 - p) f^2 to the squared error, which is
    in no equation. This object owns no parameter: it is a plain view, and the
    classifier stays what it was.

    Args:
        model (nn.Module): Any MMPretrain classifier, ``TimmClassifier``
            included.
        classifier (str, optional): Module path of the last linear layer, such
            as ``head.fc``. Found by one dry run when None. Defaults to None.
        input_size (int): Height and width of the dry run. Defaults to 224.
        feature_module (str, optional): Module path whose input is the
            feature: the last linear layer or the dropout before it. Found by
            the dry run when None. Defaults to None.

    Attributes:
        feature_dim (int): Width D_s of the feature.
        num_classes (int): Number of classes C.

    Raises:
        UserError: If the model does not end in one linear layer, or drops
            its feature out by a function, where it cannot be taken before.
    """

    def __init__(
        self,
        model: nn.Module,
        classifier: Optional[str] = None,
        input_size: int = 224,
        feature_module: Optional[str] = None,
    ) -> None:
        self.model = model
        if classifier is not None:
            layer = get_module(model, classifier, 'classifier')
            if not isinstance(layer, nn.Linear):
                raise UserError(
                    f'classifier={classifier!r} is a {type(layer).__name__}, '
                    'but the last linear layer (nn.Linear) of the student is '
                    'wanted.'
                )
        if feature_module is None:
            classifier, feature_module = _split(model, classifier, input_size)
        self.classifier_path = classifier
        self.feature_path = feature_module
        layer = self.classifier
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
            tuple[Tensor, Tensor]: Feature f_s (N, D_s), never dropped out,
            and logits z_s (N, C), dropped out where the model does so.
        """
        tap = self.model.get_submodule(self.feature_path)
        with record_inputs(tap) as consumed:
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


#: Functions that drop out; only those are listed whose output may feed a
#: linear layer.
_DROPOUT = (F.dropout, F.alpha_dropout, F.feature_alpha_dropout, F.dropout1d)


class _Dropout(TorchFunctionMode):
    """Has dropout copy its input, whatever the mode, and remembers both."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: List[Tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _DROPOUT:
            return func(*args, **kwargs)
        value = args[0] if args else kwargs['input']
        rate = args[1] if len(args) > 1 else kwargs.get('p', 0.5)
        if rate == 0:
            return value
        self.calls.append((value, value.clone()))
        return self.calls[-1][1]


def _split(
    model: nn.Module, classifier: Optional[str], input_size: int
) -> Tuple[str, str]:
    """Finds where the feature and where the logits are made.

    Returns:
        tuple[str, str]: Module path of the last linear layer, and of the
        module whose input is the feature.
    """
    linears = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    dropouts = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.dropout._DropoutNd)
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
    consumed: Dict[str, torch.Tensor] = {}
    handles = [
        module.register_forward_pre_hook(
            lambda _module, args, name=name: consumed.update({name: args[0]})
        )
        for name, module in linears.items()
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), _Dropout() as dropout:
            with record_outputs({**linears, **dropouts}) as outputs:
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
        for handle in handles:
            handle.remove()
    if isinstance(logits, (list, tuple)):
        logits = logits[-1]
    if classifier is None:
        classifier = _matching(model, linears, outputs, logits)
    if classifier not in consumed:
        raise UserError(
            f'classifier={classifier!r} takes no part in what '
            f'{type(model).__name__} answers.'
        )
    feature, feature_module = consumed[classifier], classifier
    for before, after in reversed(dropout.calls):
        if after is not feature:
            continue
        owner = next((n for n in dropouts if outputs.get(n) is after), None)
        if owner is None:
            raise UserError(
                f'student: {type(model).__name__} drops out what '
                f'{classifier!r} consumes by a function, and the feature '
                'before it cannot be taken; set its drop_rate=0.'
            )
        # One that works in place would leave nothing to take.
        dropouts[owner].inplace = False
        feature, feature_module = before, owner
    return classifier, feature_module


def _matching(
    model: nn.Module,
    linears: Dict[str, nn.Module],
    outputs: Dict[str, torch.Tensor],
    logits: torch.Tensor,
) -> str:
    """Finds the linear layer whose output is the model's output."""
    for name in reversed([name for name in outputs if name in linears]):
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
