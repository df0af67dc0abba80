"""Preprocessing of batches in which only some samples carry a label."""

from __future__ import annotations

from typing import Dict, List, Sequence, Union

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from ..errors import UserError
from ..registry import MODELS
from .mixing import mix_alike

#: Further views of the samples.
OTHER_VIEWS = ('teacher_inputs', 'strong_inputs')


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


def send_labels(samples: List[DataSample], device: torch.device) -> None:
    """Moves labels in one copy each, unless they are there.

    Args:
        samples (list[DataSample]): Some of which may carry a label.
        device (torch.device): Where the labels are wanted.
    """
    hard = [s for s in samples if 'gt_label' in s]
    if hard and hard[0].gt_label.device != device:
        labels = send(torch.cat([s.gt_label for s in hard]), device)
        parts = labels.split([len(s.gt_label) for s in hard])
        for sample, label in zip(hard, parts):
            sample.set_gt_label(label)
    soft = [s for s in samples if 'gt_score' in s]
    if soft and soft[0].gt_score.device != device:
        scores = send(torch.stack([s.gt_score for s in soft]), device)
        for sample, score in zip(soft, scores.unbind()):
            sample.set_gt_score(score)


@MODELS.register_module()
class DistillDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's preprocessor for batches that mix two streams.

    Labelled and unlabelled samples go through
    :class:`mmpretrain.models.utils.ClsDataPreprocessor` separately and come
    back in the order in which they came. Takes the same arguments, and one
    more.

    ``teacher_inputs`` and ``strong_inputs``, when the dataset gives them, are
    normalised like the inputs; the teacher takes the former to its own
    normalisation. Batch augmentations such as Mixup mix labelled images with
    each other only, in every view alike.

    Args:
        channels_last (bool): Whether images are laid out that way:
            convolutions then run up to twice as fast. Values and indexing are
            the same. Defaults to True.
    """

    def __init__(self, *args, channels_last: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.channels_last = channels_last
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
        """
        samples = data.get('data_samples')
        if not samples or not isinstance(samples[0], DataSample):
            return super().forward(data, training)
        if self.device.type != 'cpu':
            send_labels(samples, self.device)
        if self.to_onehot:
            self._add_scores(samples)
        if 'inputs' not in data:
            # Nobody looks at an image: the teacher's outputs are cached.
            return dict(inputs=None, data_samples=samples)
        labelled = [i for i, s in enumerate(samples) if has_label(s)]
        unlabelled = [i for i, s in enumerate(samples) if not has_label(s)]
        # Mixing is left to this class, which mixes every view.
        parts = [
            super(DistillDataPreprocessor, self).forward(
                dict(
                    inputs=_take(data['inputs'], group),
                    data_samples=[samples[i] for i in group],
                )
            )['inputs']
            for group in (labelled, unlabelled)
            if group
        ]
        views = {
            name: super(DistillDataPreprocessor, self).forward(
                dict(inputs=data[name])
            )['inputs']
            for name in OTHER_VIEWS
            if name in data
        }
        if training and self.batch_augments is not None and labelled:
            parts[0] = self._mix(parts[0], views, samples, labelled)
        order = torch.tensor(labelled + unlabelled)
        inputs = torch.cat(_one_size(parts, self.pad_value))
        if (order != torch.arange(len(order))).any():
            inputs = inputs[order.argsort().to(inputs.device)]
        result: Dict[str, object] = dict(
            inputs=self._laid_out(inputs), data_samples=samples, **views
        )
        if 'strong_inputs' in views:
            # They go through the student, as the inputs do.
            result['strong_inputs'] = self._laid_out(views['strong_inputs'])
        return result

    def _laid_out(self, images: torch.Tensor) -> torch.Tensor:
        if not self.channels_last:
            return images
        return images.contiguous(memory_format=torch.channels_last)

    def _add_scores(self, samples: List[DataSample]) -> None:
        """Gives each class a score where there is a label alone."""
        plain = [s for s in samples if 'gt_label' in s and 'gt_score' not in s]
        if plain:
            labels = torch.cat([s.gt_label for s in plain])
            scores = F.one_hot(labels, self.num_classes).float()
            for sample, score in zip(plain, scores.unbind()):
                sample.set_gt_score(score)

    def _mix(
        self,
        inputs: torch.Tensor,
        views: Dict[str, torch.Tensor],
        samples: List[DataSample],
        labelled: List[int],
    ) -> torch.Tensor:
        """Mixes the labelled images with each other.

        Args:
            inputs (Tensor): The labelled images (B_L, 3, H, W).
            views (dict[str, Tensor]): Further views of all images; those of
                labelled ones are replaced.
            samples (list[DataSample]): B samples; labelled ones get the
                mixed scores.
            labelled (list[int]): Which those are.

        Returns:
            Tensor: The mixed images (B_L, 3, H, W).
        """
        chosen = [samples[i] for i in labelled]
        index = send(torch.tensor(labelled), inputs.device)
        (inputs, *others), scores = mix_alike(
            self.batch_augments,
            [inputs, *(view[index] for view in views.values())],
            torch.stack([sample.gt_score for sample in chosen]),
        )
        for (name, view), mixed in zip(list(views.items()), others):
            views[name] = view.index_copy(0, index, mixed)
        for sample, score in zip(chosen, scores.unbind()):
            sample.set_gt_score(score)
        return inputs


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
