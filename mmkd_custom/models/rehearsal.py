"""One rehearsal of a classifier: where it is split, and whether it can be."""

from __future__ import annotations

import copy
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn as nn
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.structures import DataSample

from ..errors import UserError
from .batch import send_labels
from .trace import Trace


class Split(NamedTuple):
    """Where a classifier is split, and what it takes.

    Attributes:
        classifier (str): Module path of its last linear layer.
        feature_module (str): Module path whose input is the feature: the last
            linear layer or the dropout before it.
        functional (bool): Whether a function, no module, drops the feature
            out.
        channels_last (bool): Whether it takes images laid out so.
        scores (bool): Whether its loss wants a score of each class for a
            label.
    """

    classifier: str
    feature_module: str
    functional: bool
    channels_last: bool
    scores: bool


def own_loss(
    model: nn.Module, logits: torch.Tensor, data_samples: List[DataSample]
) -> torch.Tensor:
    """Computes a classifier's own loss on logits that are given.

    Args:
        model (nn.Module): Any MMPretrain classifier.
        logits (Tensor): (N, C).
        data_samples (list[DataSample]): N samples with ``gt_label`` or
            ``gt_score``.

    Returns:
        Tensor: Scalar, the sum of its terms.

    Raises:
        UserError: If it has no loss that takes logits.
    """
    head = getattr(model, 'head', None)
    owner = head if hasattr(head, '_get_loss') else model
    if not hasattr(owner, '_get_loss'):
        raise UserError(
            'student: expected a classifier with a loss of its logits, got '
            f'{_named(model)}.'
        )
    send_labels(data_samples, logits.device)
    return _total(owner._get_loss(logits, data_samples))


def rehearse(
    model: nn.Module,
    classifier: Optional[str],
    input_size: int,
    scores: bool,
) -> Split:
    """Finds where a classifier is split, and checks what is built on that.

    A copy of it answers random images. Its weights that are all zero or one,
    as fresh ones may be, are moved a little, lest different layers give the
    same by accident. Neither the model nor the global random state changes,
    but for a dropout before the last layer, which works in place no longer.

    Args:
        model (nn.Module): Any MMPretrain classifier.
        classifier (str, optional): Module path of its last linear layer, if
            it is known.
        input_size (int): Height and width of the images.
        scores (bool): Whether labels come as a score of each class.

    Returns:
        Split: Where it is split.

    Raises:
        UserError: If its logits are not the output of one linear layer, its
            predictions not their softmax, or its loss not one of them alone.
    """
    head = getattr(model, 'head', None)
    if isinstance(head, MultiLabelClsHead):
        raise UserError(
            'student: expected a head that finds one class for an image, got '
            f'the multi-label head {type(head).__name__}.'
        )
    generator = torch.Generator().manual_seed(0)
    try:
        stand_in = _stand_in(model, generator)
        images = _images(stand_in, input_size, generator)
        logits, trace, images = _answer(stand_in, images)
    except Exception as error:
        raise UserError(
            f'student: a dry run at {input_size}x{input_size} failed '
            f'({type(error).__name__}: {error}); set input_size to the '
            "student's training size."
        ) from error
    found = trace.source(logits) if torch.is_tensor(logits) else None
    if found is None or classifier not in (None, found):
        names = [n for n, m in model.named_modules() if type(m) is nn.Linear]
        raise UserError(
            f'student: expected logits that are the output of '
            f'{classifier or "one linear layer"}, got those of {_named(model)}'
            f' (linear layers it has: {", ".join(names[-3:]) or "none"}); use '
            'a head such as LinearClsHead.'
        )
    feature_module = trace.before_dropout(found)
    functional = feature_module is None
    if feature_module not in (None, found):
        # A dropout that works in place would leave nothing to take.
        model.get_submodule(feature_module).inplace = False
    _check_predictions(stand_in, images, logits)
    _check_count(model, logits.shape[1])
    return Split(
        found,
        found if functional else feature_module,
        functional,
        images.is_contiguous(memory_format=torch.channels_last),
        _check_loss(stand_in, images, logits, scores, generator),
    )


@torch.no_grad()
def _stand_in(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Copies a model; weights of one value, such as zeros, move a little."""
    stand_in = copy.deepcopy(model).eval()
    for parameter in stand_in.parameters():
        value = parameter.flatten()[:1]
        if parameter.is_floating_point() and (parameter == value).all():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.02 * noise.to(parameter))
    return stand_in


def _images(
    model: nn.Module, input_size: int, generator: torch.Generator
) -> torch.Tensor:
    """Draws images as the model wants them, (2, channels, H, W)."""
    convs = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    # The first may come after pixels were put into channels.
    channels = 1 if getattr(next(convs, None), 'in_channels', 3) == 1 else 3
    shape = 2, channels, input_size, input_size
    images = torch.randn(shape, generator=generator)
    return images.to(next(model.parameters()))


@torch.no_grad()
def _answer(
    model: nn.Module, images: torch.Tensor
) -> Tuple[Any, Trace, torch.Tensor]:
    """Returns logits, how they came about, and images as it takes them.

    From then on the model answers the same images without its backbone.
    """
    laid_out = images.contiguous(memory_format=torch.channels_last)
    bodies = [m for name, m in model.named_children() if name != 'head']
    for batch in (laid_out, images):
        given: Dict[nn.Module, list] = {body: [] for body in bodies}
        handles = [
            body.register_forward_hook(
                lambda body, _args, output: given[body].append(output)
            )
            for body in bodies
        ]
        try:
            with Trace(model) as trace:
                logits = model(batch, mode='tensor')
        except RuntimeError:
            # Some networks flatten by view(), which takes one layout alone.
            if batch is images:
                raise
            continue
        finally:
            for handle in handles:
                handle.remove()
        for body, outputs in given.items():
            if len(outputs) == 1:
                body.forward = lambda *_, out=outputs[0], **__: out
        return logits, trace, batch


@torch.no_grad()
def _check_predictions(
    model: nn.Module, images: torch.Tensor, logits: torch.Tensor
) -> None:
    samples = model(images, [DataSample() for _ in images], mode='predict')
    scores = torch.stack([sample.pred_score for sample in samples])
    if not _close(scores, logits.softmax(1)):
        raise UserError(
            'student: expected predictions that are the softmax of its '
            f'logits, got others of {_named(model)}.'
        )


def _check_count(model: nn.Module, classes: int) -> None:
    """Refuses a loss that was told another number of classes."""
    head = getattr(model, 'head', None)
    owners = {'loss': model, 'head.loss': head}
    for option, owner in owners.items():
        loss = getattr(owner, 'loss_module', None)
        count = getattr(loss, 'num_classes', None)
        if isinstance(count, int) and count not in (classes, 0):
            raise UserError(
                f'student.{option}.num_classes: expected {classes}, as many '
                f"as the student has, got {count}; give that, or 'auto'."
            )


@torch.no_grad()
def _check_loss(
    model: nn.Module,
    images: torch.Tensor,
    logits: torch.Tensor,
    scores: bool,
    generator: torch.Generator,
) -> bool:
    """Checks the loss; says whether it wants a score of each class."""
    classes = logits.shape[1]
    failure: Optional[Exception] = None
    for wanted in (True,) if scores else (False, True):
        try:
            if not wanted:
                # Where images are as many as classes, labels pass for scores.
                rows = torch.arange(3 if classes == 2 else 2)
                many = logits[rows % len(logits)]
                own_loss(model, many, _samples(many, None))
            samples = _samples(logits, generator if wanted else None)
            # Some losses count the labels they have met.
            before = [buffer.clone() for buffer in model.buffers()]
            own = _total(model(images, samples, mode='loss'))
        except Exception as error:
            failure = failure or error
            continue
        for buffer, value in zip(model.buffers(), before):
            buffer.copy_(value)
        found = own_loss(model, logits, samples)
        if not _close(found, own):
            raise UserError(
                'student: expected a loss of its logits alone, got '
                f'{_named(model)}, whose loss is {own:.4g} and that of its '
                f'logits {found:.4g}.'
            )
        return wanted
    kind = 'scores' if scores else 'labels'
    raise UserError(
        f'student: expected a loss that takes {kind} of {classes} classes, '
        f'got that of {_named(model)} ({type(failure).__name__}: {failure}).'
    ) from failure


def _samples(
    logits: torch.Tensor, generator: Optional[torch.Generator]
) -> List[DataSample]:
    """Makes samples with labels, and with scores if there is a generator."""
    count, classes = logits.shape
    samples = [DataSample().set_gt_label(i % classes) for i in range(count)]
    if generator is not None:
        drawn = torch.rand(logits.shape, generator=generator).softmax(1)
        for sample, score in zip(samples, drawn.to(logits)):
            sample.set_gt_score(score)
    return samples


def _total(losses: Dict[str, torch.Tensor]) -> torch.Tensor:
    """Adds up what MMEngine adds up."""
    return sum(value for key, value in losses.items() if 'loss' in key)


def _close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return found.shape == wanted.shape and torch.allclose(
        found.float(), wanted.float(), rtol=1e-4, atol=1e-7, equal_nan=True
    )


def _named(model: nn.Module) -> str:
    """Names a classifier and its head, for an error."""
    head = getattr(model, 'head', None)
    name = type(model).__name__
    return name if head is None else f'{name} with {type(head).__name__}'
