"""Labelled, unlabelled and synthetic images in one, with seeded views."""

from __future__ import annotations

from functools import partial
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.logging import print_log
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from ...errors import UserError
from ...registry import DATASETS
from ...stages import LABELLED, SYNTHETIC, UNLABELLED
from ..samples_digest import samples_digest
from ..subset import split_digest
from ..wrappers import innermost, leaves
from .keys import CachedKey, SampleKey
from .overlap import check_classes, check_distinct, positions_outside
from .packing import compose, geometry_only, label_only, run_seeded
from .streams import build_stream, check_labels, stream_info
from .view_checks import check_views
from .views import kept_rng


class _Part(NamedTuple):
    """One stream: its dataset, and its positions in the order of indices."""

    name: str
    dataset: Any
    positions: np.ndarray


@DATASETS.register_module()
class TwoStreamDataset(Dataset):
    """Joins labelled and unlabelled images, and synthetic ones if given.

    An item is a function of (``seed``, index, view) alone: the pipeline runs
    with all global random generators seeded from these, see
    :func:`~mmkd_custom.datasets.two_stream.views.seed_rng`. An item of the
    unlabelled
    or the synthetic stream never had a label: every key with ``gt_`` or
    ``label`` in its name is taken away before the pipeline runs, and its data
    sample is made anew with nothing but its geometry.

    With ``teacher_pipeline`` an item also holds the same crop prepared for
    the teacher, from the original image. It runs under the same seed, so the
    transforms that draw geometry (crop, flip) must come first and in the same
    order in both pipelines; transforms that draw anything else follow them.
    The same holds for ``strong_pipeline``, the strong view of methods that
    compare a weak and a strong one. All this is looked at once, on a few
    samples: a view that comes out in several ways, and pipelines that clearly
    crop or flip on their own, are refused, see
    :func:`~mmkd_custom.datasets.two_stream.view_checks.check_views`.

    A dataset is any of MMPretrain's, or a ``ConcatDataset``,
    ``RepeatDataset``, ``KFoldDataset`` or ``ClassBalancedDataset`` around
    such; the last in the labelled stream alone, because it goes by labels.

    Args:
        labelled (dict | BaseDataset): The dataset whose labels are used, one
            class a sample.
        unlabelled (dict | BaseDataset, optional): The dataset whose labels,
            if it has any, are not. Defaults to None.
        seed (int): Seed of the views. Defaults to 0.
        teacher_pipeline (Sequence[dict], optional): Transforms, ending in
            ``PackInputs``, for the teacher's input. Defaults to None.
        synthetic (dict | BaseDataset, optional): More images without labels,
            which only distillation terms see, such as an
            :class:`~mmkd_custom.datasets.image_folder.ImageFolder`. Their
            classes may be others or none. Defaults to None.
        exclude_labelled (bool): Whether the images that the labelled dataset
            holds are taken out of the unlabelled one; see
            :func:`~mmkd_custom.datasets.two_stream.overlap.positions_outside`.
            Defaults
            to False: unlabelled images include the labelled ones.
        strong_pipeline (Sequence[dict], optional): Transforms, ending in
            ``PackInputs``, for a strong view of the same sample. Defaults to
            None.
        share_geometry (bool): Whether ``strong_pipeline`` runs under the same
            seed as the sample's own pipeline; False draws independently.
            Defaults to True.

    Attributes:
        num_labelled (int): Number of labelled samples.
        num_unlabelled (int): Number of unlabelled samples.
        num_synthetic (int): Number of synthetic samples.
        metainfo (dict): That of the labelled dataset.
        split_sha256 (str): SHA-256 of the labelled samples and their labels.

    Raises:
        UserError: If the streams' classes differ, both hold the same images,
            the labelled one has none or several labels a sample, it cannot
            be told which images ``exclude_labelled`` means, or views are not
            as described.
    """

    def __init__(
        self,
        labelled: Union[dict, Any],
        unlabelled: Union[dict, Any, None] = None,
        seed: int = 0,
        teacher_pipeline: Optional[Sequence] = None,
        synthetic: Union[dict, Any, None] = None,
        exclude_labelled: bool = False,
        strong_pipeline: Optional[Sequence] = None,
        share_geometry: bool = True,
    ) -> None:
        self.labelled = build_stream(LABELLED, labelled)
        self.unlabelled = build_stream(UNLABELLED, unlabelled)
        self.synthetic = build_stream(SYNTHETIC, synthetic)
        self.seed = seed
        self.exclude_labelled = exclude_labelled
        self.teacher_pipeline = compose(teacher_pipeline)
        self.strong_pipeline = compose(strong_pipeline)
        self.share_geometry = share_geometry
        if exclude_labelled and self.unlabelled is None:
            raise UserError(
                'exclude_labelled=True: there is no unlabelled dataset to '
                'take images out of; give one or drop it.'
            )
        if not share_geometry and strong_pipeline is None:
            raise UserError(
                'share_geometry=False: tells how strong_pipeline draws, but '
                'none is given; give one or drop it.'
            )
        self._fully_initialized = False
        self.full_init()

    def full_init(self) -> None:
        """Loads both sample lists, checks them and logs what they hold."""
        if self._fully_initialized:
            return
        self._parts: List[_Part] = []
        self._add_part(LABELLED, self.labelled)
        check_labels(self.labelled)
        if self.unlabelled is not None:
            self._add_part(UNLABELLED, self.unlabelled)
            check_classes(self.labelled, self.unlabelled)
            check_distinct(self.labelled, self.unlabelled)
        if self.synthetic is not None:
            self._add_part(SYNTHETIC, self.synthetic)
        sizes = {part.name: len(part.positions) for part in self._parts}
        self.num_labelled = sizes[LABELLED]
        self.num_unlabelled = sizes.get(UNLABELLED, 0)
        self.num_synthetic = sizes.get(SYNTHETIC, 0)
        self.metainfo = self.labelled.metainfo
        self.split_sha256 = split_digest(self.labelled)
        self._fully_initialized = True
        more = ''
        if self.exclude_labelled:
            left_out = len(self.unlabelled) - self.num_unlabelled
            more += f' ({left_out} labelled ones left out)'
        if self.synthetic is not None:
            more += f' and {self.num_synthetic} synthetic images'
        print_log(
            f'TwoStreamDataset: {self.num_labelled} labelled and '
            f'{self.num_unlabelled} unlabelled images{more}; classes in '
            f'order: {self.CLASSES}; SHA-256 of the labelled split '
            f'{self.split_sha256}',
            logger='current',
        )
        self._check_views()

    def _add_part(self, name: str, dataset: Any) -> None:
        dataset.full_init()
        positions = np.arange(len(dataset))
        if name == UNLABELLED and self.exclude_labelled:
            positions = positions_outside(dataset, self.labelled)
        if name != LABELLED:
            # Folders list their images by class, so a position in them tells
            # the label; a position in this order does not.
            rng = np.random.RandomState(0)
            positions = positions[rng.permutation(len(positions))]
        self._parts.append(_Part(name, dataset, positions))

    @property
    def CLASSES(self) -> Optional[Tuple[str, ...]]:
        """Class names in the order of the labels, as in MMPretrain."""
        return self.metainfo.get('classes')

    def __len__(self) -> int:
        return self.num_labelled + self.num_unlabelled + self.num_synthetic

    def __getitem__(self, key: Union[SampleKey, CachedKey, int]) -> dict:
        """Gives one view of one sample.

        Args:
            key (SampleKey | CachedKey | int): The sample and its view; an
                int means view 0.

        Returns:
            dict: ``inputs`` as the stream's pipeline packs it, the
            ``data_samples`` (whose metainfo holds ``sample_idx``, ``view``
            and ``stream``: 'labelled', 'unlabelled' or 'synthetic') and,
            with their pipelines, ``teacher_inputs`` and ``strong_inputs``.
            By a :class:`CachedKey` the metainfo holds ``cached=True`` as
            well, there are no ``teacher_inputs``, and without its ``image``
            there are ``data_samples`` alone.

        Raises:
            UserError: If the image cannot be read or a pipeline does not
                pack it.
        """
        with kept_rng():
            return self._item(key)

    def __getitems__(
        self, keys: Sequence[Union[SampleKey, CachedKey, int]]
    ) -> List:
        """Gives the items of a batch, as a DataLoader asks for them."""
        with kept_rng():
            return [self._item(key) for key in keys]

    def _item(self, key: Union[SampleKey, CachedKey, int]) -> dict:
        """Makes an item; leaves the random generators seeded."""
        if not isinstance(key, tuple):
            key = SampleKey(key, 0)
        index, view = int(key[0]), int(key[1])
        part, position = self._locate(index)
        cached = isinstance(key, CachedKey)
        item = {}
        if cached and not key.image:
            sample = DataSample()
            if part.name == LABELLED:
                sample = label_only(part.dataset.get_data_info(position))
            item['data_samples'] = sample
        else:
            item = self._images(part, position, index, view, cached)
        about = dict(sample_idx=index, view=view, stream=part.name)
        if cached:
            about['cached'] = True
        for name, value in about.items():
            # What set_metainfo does, less a deep copy.
            item['data_samples'].set_field(value, name, field_type='metainfo')
        return item

    def _images(
        self, part: _Part, position: int, index: int, view: int, cached: bool
    ) -> dict:
        key = (self.seed, index, view)
        own = innermost(part.dataset, position)[0].pipeline
        packed = self._packed(part, position, own, *key)
        sample = packed['data_samples']
        if part.name != LABELLED:
            sample = geometry_only(sample)
        item = dict(inputs=packed['inputs'], data_samples=sample)
        if self.teacher_pipeline is not None and not cached:
            item['teacher_inputs'] = self._packed(
                part, position, self.teacher_pipeline, *key
            )['inputs']
        if self.strong_pipeline is not None:
            if not self.share_geometry:
                key = (*key, 'strong')
            item['strong_inputs'] = self._packed(
                part, position, self.strong_pipeline, *key
            )['inputs']
        return item

    def _packed(
        self,
        part: _Part,
        position: int,
        pipeline: Any,
        *key: Union[int, str],
    ) -> dict:
        # Got anew for each pipeline: they write into it, and into its image.
        info = stream_info(part.name, part.dataset, position)
        info.update(sample_idx=key[1], view=key[2])
        return run_seeded(pipeline, info, *key)

    def locate(self, index: int) -> Tuple[str, int]:
        """Finds where a sample comes from.

        Args:
            index (int): Index within this dataset.

        Returns:
            tuple[str, int]: Its stream ('labelled', 'unlabelled' or
            'synthetic', the attribute that holds the stream's dataset) and
            its position there.

        Raises:
            IndexError: If there is no such sample.
        """
        part, position = self._locate(index)
        return part.name, position

    def samples_sha256(self) -> str:
        """Computes :func:`samples_digest` of all streams.

        Returns:
            str: 64 hexadecimal digits.
        """
        return samples_digest(self._parts)

    def _locate(self, index: int) -> Tuple[_Part, int]:
        within = index
        for part in self._parts:
            if 0 <= within < len(part.positions):
                return part, int(part.positions[within])
            within -= len(part.positions)
        raise IndexError(f'sample {index} of {len(self)}')

    def _check_views(self) -> None:
        others = {
            'teacher_pipeline': self.teacher_pipeline,
            'strong_pipeline': self.strong_pipeline,
        }
        others = {k: v for k, v in others.items() if v is not None}
        paired = [k for k in others if k[0] == 't' or self.share_geometry]
        with kept_rng():
            for part in self._parts:
                for leaf in leaves(part.dataset):
                    check_views(
                        {part.name: leaf.pipeline, **others},
                        paired,
                        partial(_described, part.name, leaf),
                        len(leaf),
                        self.seed,
                    )


def _described(stream: str, dataset: Any, position: int) -> dict:
    """Gives what a pipeline is told of a sample, were this its place."""
    info = stream_info(stream, dataset, position)
    return dict(info, sample_idx=position, view=0)
