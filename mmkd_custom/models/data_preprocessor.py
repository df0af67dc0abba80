"""Preprocessing of batches in which only some samples carry a label."""

from __future__ import annotations

from typing import Dict, List, Sequence, Union

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from ..errors import UserError
from ..registry import MODELS

#: Further views of the samples, and the dataset's option that makes them.
OTHER_VIEWS = dict(
    teacher_inputs='teacher_pipeline', strong_inputs='strong_pipeline'
)


def has_label(sample: DataSample) -> bool:
    """Says whether a sample carries a label that may be used."""
    return 'gt_label' in sample or 'gt_score' in sample


def send(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Moves a tensor to a device; the host does not wait for it.

    From ordinary memory CUDA copies only after everything launched before,
    with the host waiting; from pinned memory the copy takes its turn.

    Args:
        values (Tensor): Of any shape, on the host or on the device.
        device (torch.device): Where it is wanted.

    Returns:
        Tensor: The same values there.
    """
    if device.type == 'cuda' and values.device.type == 'cpu':
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


@MODELS.register_module()
class DistillDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's preprocessor for batches that mix two streams.

    Labelled and unlabelled samples go through
    :class:`mmpretrain.models.utils.ClsDataPreprocessor` separately, so batch
    augmentations such as Mixup mix labelled images with each other only, and
    come back in the order in which they came. Takes the same arguments.

    ``teacher_inputs`` and ``strong_inputs``, when the dataset gives them, are
    normalised like the inputs; the teacher takes the former to its own
    normalisation. They exclude batch augmentations, which would change one
    view and not the other.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # The loader pins its batches, so no copy needs to be waited for.
        self._non_blocking = True
        if self._enable_normalize:
            for name in ('mean', 'std'):
                count = getattr(self, name).numel()
                if count not in (1, 3):
                    raise UserError(
                        f'data_preprocessor.{name}: a number for each of 3 '
                        f'channels, or for 1, is wanted, but got {count}.'
                    )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalises a batch.

        Args:
            data (dict): ``inputs`` (B, 3, H, W) or a list of B images
                (3, H, W), ``data_samples`` and optional ``teacher_inputs``
                and ``strong_inputs``. A batch that nobody looks at comes
                without ``inputs``.
            training (bool): Whether batch augmentations apply. Defaults to
                False.

        Returns:
            dict: ``inputs`` float (B, 3, H, W) or None, ``data_samples``,
            and ``teacher_inputs`` and ``strong_inputs`` if there were any.

        Raises:
            UserError: If batch augmentations would change one view only.
        """
        samples = data.get('data_samples')
        if not samples or not isinstance(samples[0], DataSample):
            return super().forward(data, training)
        if self.device.type != 'cpu':
            _send_labels(samples, self.device)
        if 'inputs' not in data:
            # Nobody looks at an image: the teacher's outputs are cached.
            return dict(inputs=None, data_samples=samples)
        labelled = [i for i, s in enumerate(samples) if has_label(s)]
        unlabelled = [i for i, s in enumerate(samples) if not has_label(s)]
        parts = [
            super(DistillDataPreprocessor, self).forward(
                dict(
                    inputs=_take(data['inputs'], group),
                    data_samples=[samples[i] for i in group],
                ),
                training,
            )
            for group in (labelled, unlabelled)
            if group
        ]
        order = torch.tensor(labelled + unlabelled)
        inputs = torch.cat(
            _one_size([part['inputs'] for part in parts], self.pad_value)
        )
        if (order != torch.arange(len(order))).any():
            inputs = inputs[order.argsort().to(inputs.device)]
        # Convolutions run up to twice as fast on this layout; values and
        # indexing are the same.
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        result: Dict[str, object] = dict(inputs=inputs, data_samples=samples)
        for name, option in OTHER_VIEWS.items():
            if name not in data:
                continue
            if training and self.batch_augments is not None:
                raise UserError(
                    'data_preprocessor: batch augmentations change the '
                    f"student's images but not the {name} of the "
                    f'dataset; drop train_cfg.augments or {option}.'
                )
            images = super().forward(dict(inputs=data[name]))['inputs']
            result[name] = (
                images.contiguous(memory_format=torch.channels_last)
                if name == 'strong_inputs'
                else images
            )
        return result


def _one_size(parts: List[torch.Tensor], value: float) -> List[torch.Tensor]:
    """Pads stacks of images, right and below, to the largest of them."""
    if len({part.shape[-2:] for part in parts}) == 1:
        return parts
    height = max(part.shape[-2] for part in parts)
    width = max(part.shape[-1] for part in parts)
    return [
        F.pad(
            part,
            (0, width - part.shape[-1], 0, height - part.shape[-2]),
            value=value,
        )
        for part in parts
    ]


def _take(
    images: Union[torch.Tensor, Sequence[torch.Tensor]], indices: List[int]
) -> Union[torch.Tensor, List[torch.Tensor]]:
    if torch.is_tensor(images):
        first, last = indices[0], indices[-1]
        if indices == list(range(first, last + 1)):
            # A view stays in pinned memory; a copy would not.
            return images[first : last + 1]
        return images[indices]
    return [images[i] for i in indices]


def _send_labels(samples: List[DataSample], device: torch.device) -> None:
    """Moves the labels in one copy each; MMPretrain finds them there."""
    hard = [s for s in samples if 'gt_label' in s]
    if hard:
        labels = send(torch.cat([s.gt_label for s in hard]), device)
        parts = labels.split([len(s.gt_label) for s in hard])
        for sample, label in zip(hard, parts):
            sample.set_gt_label(label)
    soft = [s for s in samples if 'gt_score' in s]
    if soft:
        scores = send(torch.stack([s.gt_score for s in soft]), device)
        for sample, score in zip(soft, scores.unbind()):
            sample.set_gt_score(score)
