"""Preprocessing of batches in which only some samples carry a label."""

from __future__ import annotations

from typing import Dict, List, Sequence, Union

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from ..errors import UserError
from ..registry import MODELS
from ..stages import STREAMS, STUDENT, TEACHER
from .batch import Pixels, has_label, send_labels, stream_of
from .mixing import mix_alike

Images = Union[torch.Tensor, Sequence[torch.Tensor]]


@MODELS.register_module()
class DistillDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's preprocessor for batches that mix several streams.

    Takes the same arguments as
    :class:`mmpretrain.models.utils.ClsDataPreprocessor`, and one more. In
    training, labelled samples come out first, then unlabelled, then synthetic
    ones, see :class:`~mmkd_custom.models.batch.Batch`. Further views, when
    the dataset makes some, are normalised like the inputs; the teacher takes
    its own to its own normalisation. Batch augmentations such as Mixup mix
    labelled images with each other only, in every view alike.

    Args:
        channels_last (bool): Whether images are laid out that way:
            convolutions then run up to twice as fast. Values and indexing are
            the same. Defaults to True.

    Raises:
        UserError: If ``mean`` or ``std`` has neither 1 nor 3 values.
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
                        f'data_preprocessor.{name}: expected 1 value or one '
                        f'for each of 3 channels, got {count}.'
                    )

    @property
    def pixels(self) -> Pixels:
        """Pixels: How the images that come out are normalised."""
        if not self._enable_normalize:
            return Pixels(to_rgb=self.to_rgb)
        return Pixels(self.mean.flatten(), self.std.flatten(), self.to_rgb)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalises a batch.

        Args:
            data (dict): ``inputs`` (B, 3, H, W) or a list of B images
                (3, H, W), ``data_samples`` and optional ``views`` by name. A
                batch that nobody looks at has neither ``inputs`` nor
                ``views``.
            training (bool): Whether samples are sorted by stream and batch
                augmentations apply. Defaults to False.

        Returns:
            dict: ``inputs`` float (B, 3, H, W) or None, ``data_samples``,
            and ``views`` if there were any.
        """
        samples = data.get('data_samples')
        if not samples or not isinstance(samples[0], DataSample):
            return super().forward(data, training)
        if self.device.type != 'cpu':
            send_labels(samples, self.device)
        if self.to_onehot:
            self._add_scores(samples)
        images: Dict[str, Images] = dict(data.get('views') or {})
        if 'inputs' in data:
            images = {STUDENT: data['inputs'], **images}
        if training:
            samples, images = _sorted_by_stream(samples, images)
        count = sum(map(has_label, samples)) if training else 0
        # Labels are left out: MMPretrain's expects them of all samples.
        views = {
            name: super(DistillDataPreprocessor, self).forward(
                dict(inputs=view)
            )['inputs']
            for name, view in images.items()
        }
        if count and views and self.batch_augments is not None:
            self._mix(views, samples[:count])
        if self.channels_last:
            views = {
                name: view
                if name == TEACHER
                else view.contiguous(memory_format=torch.channels_last)
                for name, view in views.items()
            }
        result = dict(inputs=views.pop(STUDENT, None), data_samples=samples)
        return {**result, 'views': views} if views else result

    def _add_scores(self, samples: List[DataSample]) -> None:
        """Gives each class a score where there is a label alone."""
        plain = [s for s in samples if 'gt_label' in s and 'gt_score' not in s]
        if plain:
            labels = torch.cat([s.gt_label for s in plain])
            scores = F.one_hot(labels, self.num_classes).float()
            for sample, score in zip(plain, scores.unbind()):
                sample.set_gt_score(score)

    def _mix(
        self, views: Dict[str, torch.Tensor], labelled: List[DataSample]
    ) -> None:
        """Mixes the labelled images with each other.

        Args:
            views (dict[str, Tensor]): Images (B, 3, H, W), labelled ones
                first; replaced.
            labelled (list[DataSample]): B_L samples; get the mixed scores.
        """
        count = len(labelled)
        mixed, scores = mix_alike(
            self.batch_augments,
            [view[:count] for view in views.values()],
            torch.stack([sample.gt_score for sample in labelled]),
        )
        for name, part in zip(list(views), mixed):
            views[name] = torch.cat([part, views[name][count:]])
        for sample, score in zip(labelled, scores.unbind()):
            sample.set_gt_score(score)


def _sorted_by_stream(
    samples: List[DataSample], images: Dict[str, Images]
) -> tuple:
    """Puts labelled samples first, then unlabelled, then synthetic ones."""
    streams = [STREAMS.index(stream_of(sample)) for sample in samples]
    order = sorted(range(len(samples)), key=streams.__getitem__)
    if order == list(range(len(samples))):
        # As TwoStreamSampler draws them: no copy is made.
        return samples, images
    return [samples[i] for i in order], {
        name: view[order]
        if torch.is_tensor(view)
        else [view[i] for i in order]
        for name, view in images.items()
    }
