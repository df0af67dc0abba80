"""A labelled and an unlabelled dataset in one, with seeded views."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from mmcv.transforms import Compose
from mmengine.logging import print_log
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from ..errors import UserError
from ..registry import DATASETS, TRANSFORMS
from ..stages import LABELLED, UNLABELLED
from .domain_folder import DomainFolder
from .elpv import ELPV
from .images import load_sample
from .subset import split_digest
from .views import seeded_rng

# What an unlabelled sample may say of itself. Paths are not among it: a
# path holds the class folder's name.
UNLABELLED_META = (
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)


class SampleKey(NamedTuple):
    """Names one view of one sample.

    Args:
        index (int): Index within the :class:`TwoStreamDataset`: labelled
            samples first, then unlabelled ones.
        view (int): Which of the sample's random augmentations.
    """

    index: int
    view: int


@DATASETS.register_module()
class TwoStreamDataset(Dataset):
    """Joins labelled and unlabelled images.

    An item is a function of (``seed``, index, view) alone: the pipeline runs
    under :func:`~mmkd_custom.datasets.views.seeded_rng`. An item of the
    unlabelled stream never had a label: every key with ``gt_`` or ``label``
    in its name is taken away before the pipeline runs, and its data sample is
    made anew with nothing but its geometry.

    With ``teacher_pipeline`` an item also holds the same crop prepared for
    the teacher, from the original image. It runs under the same seed, so the
    transforms that draw geometry (crop, flip) must come first and in the same
    order in both pipelines; transforms that draw anything else follow them.

    Args:
        labelled (dict | BaseDataset): The dataset whose labels are used.
        unlabelled (dict | BaseDataset, optional): The dataset whose labels,
            if it has any, are not. Defaults to None.
        seed (int): Seed of the views. Defaults to 0.
        teacher_pipeline (Sequence[dict], optional): Transforms, ending in
            ``PackInputs``, for the teacher's input. Defaults to None.

    Attributes:
        num_labelled (int): Number of labelled samples.
        num_unlabelled (int): Number of unlabelled samples.
        metainfo (dict): That of the labelled dataset.
        split_sha256 (str): SHA-256 of the labelled samples and their labels.

    Raises:
        UserError: If the streams' classes differ, both hold the same images,
            or the labelled one has no labels.
    """

    def __init__(
        self,
        labelled: Union[dict, Any],
        unlabelled: Union[dict, Any, None] = None,
        seed: int = 0,
        teacher_pipeline: Optional[Sequence] = None,
    ) -> None:
        self.labelled = _build(LABELLED, labelled)
        self.unlabelled = (
            None if unlabelled is None else _build(UNLABELLED, unlabelled)
        )
        self.seed = seed
        self.teacher_pipeline = None
        if teacher_pipeline is not None:
            steps = [
                TRANSFORMS.build(step) if isinstance(step, dict) else step
                for step in teacher_pipeline
            ]
            self.teacher_pipeline = Compose(steps)
        self._fully_initialized = False
        self.full_init()

    def full_init(self) -> None:
        """Loads both sample lists, checks them and logs what they hold."""
        if self._fully_initialized:
            return
        self.labelled.full_init()
        self.num_labelled = len(self.labelled)
        self.num_unlabelled = 0
        self._check_labels()
        if self.unlabelled is not None:
            self.unlabelled.full_init()
            self.num_unlabelled = len(self.unlabelled)
            # Folders list their images by class, so a position in them tells
            # the label; a position in this order does not.
            self._order = np.random.RandomState(0).permutation(
                self.num_unlabelled
            )
            self._check_classes()
            self._check_distinct()
        self.metainfo = self.labelled.metainfo
        self.split_sha256 = split_digest(self.labelled)
        self._fully_initialized = True
        print_log(
            f'TwoStreamDataset: {self.num_labelled} labelled and '
            f'{self.num_unlabelled} unlabelled images; classes in order: '
            f'{self.CLASSES}; SHA-256 of the labelled split '
            f'{self.split_sha256}',
            logger='current',
        )

    @property
    def CLASSES(self) -> Optional[Tuple[str, ...]]:
        """Class names in the order of the labels, as in MMPretrain."""
        return self.metainfo.get('classes')

    def __len__(self) -> int:
        return self.num_labelled + self.num_unlabelled

    def __getitem__(self, key: Union[SampleKey, int]) -> dict:
        """Gives one view of one sample.

        Args:
            key (SampleKey | int): The sample and its view; an int means view
                0.

        Returns:
            dict: ``inputs`` as the stream's pipeline packs it, the
            ``data_samples`` (whose metainfo holds ``sample_idx`` and
            ``view``) and, with a ``teacher_pipeline``, ``teacher_inputs``.

        Raises:
            UserError: If the image cannot be read or a pipeline does not
                pack it.
        """
        if not isinstance(key, tuple):
            key = SampleKey(key, 0)
        index, view = int(key[0]), int(key[1])
        if not 0 <= index < len(self):
            raise IndexError(f'sample {index} of {len(self)}')
        labelled = index < self.num_labelled
        stream = self.labelled if labelled else self.unlabelled
        packed = self._run(stream.pipeline, index, view)
        sample = packed['data_samples']
        if not labelled:
            sample = _geometry_only(sample)
        sample.set_metainfo(dict(sample_idx=index, view=view))
        item = dict(inputs=packed['inputs'], data_samples=sample)
        if self.teacher_pipeline is not None:
            teacher = self._run(self.teacher_pipeline, index, view)
            item['teacher_inputs'] = teacher['inputs']
        return item

    def _run(self, pipeline: Any, index: int, view: int) -> dict:
        data_info = self._data_info(index)
        data_info.update(sample_idx=index, view=view)
        name = data_info.get('img_path', f'sample {index}')
        with seeded_rng(self.seed, index, view):
            packed = load_sample(pipeline, data_info)
        if packed is None:
            raise UserError(
                f'{name}: the pipeline dropped this image (returned None), '
                'but a packed sample is wanted.'
            )
        if 'inputs' not in packed or 'data_samples' not in packed:
            raise UserError(
                f"{name}: the pipeline gave {sorted(packed)}, but 'inputs' "
                "and 'data_samples' are wanted: end it in PackInputs."
            )
        return packed

    def _data_info(self, index: int) -> dict:
        if index < self.num_labelled:
            return self.labelled.get_data_info(index)
        position = int(self._order[index - self.num_labelled])
        info = self.unlabelled.get_data_info(position)
        return {
            name: value
            for name, value in info.items()
            if not name.startswith('gt_') and 'label' not in name
        }

    def _check_labels(self) -> None:
        info = self.labelled.get_data_info(0)
        if 'gt_label' not in info and 'gt_score' not in info:
            raise UserError(
                'labelled: samples with gt_label or gt_score are wanted, but '
                f'{type(self.labelled).__name__} gives only {sorted(info)}.'
            )

    def _check_classes(self) -> None:
        ours = self.labelled.metainfo.get('classes')
        theirs = self.unlabelled.metainfo.get('classes')
        if ours is None or theirs is None or list(ours) == list(theirs):
            return
        unshared = sorted(set(ours) ^ set(theirs))
        if unshared:
            stream = LABELLED if unshared[0] in ours else UNLABELLED
            raise UserError(
                f'class {unshared[0]!r} is in the {stream} stream only; both '
                'streams must have the same classes.'
            )
        raise UserError(
            'both streams must have their classes in the same order, but '
            f'got {list(ours)[:5]}... and {list(theirs)[:5]}...'
        )

    def _check_distinct(self) -> None:
        if not isinstance(self.labelled, (DomainFolder, ELPV)):
            return
        origin = self.labelled.origin
        same = origin == getattr(self.unlabelled, 'origin', None)
        if same and self.labelled.subset_indices is None:
            raise UserError(
                'source = target: the labelled and the unlabelled stream '
                f'both are {self.labelled.domain!r} ({origin[0]}); give '
                'another target domain, or a label subset of the source '
                '(fraction or labels_per_class).'
            )


def _build(option: str, dataset: Union[dict, Any]) -> Any:
    if isinstance(dataset, dict):
        dataset = DATASETS.build(dataset)
    if not hasattr(dataset, 'get_data_info') or not hasattr(
        dataset, 'pipeline'
    ):
        raise UserError(
            f'{option}: a dataset with get_data_info and a pipeline (any '
            f'MMPretrain dataset) is wanted, but got {type(dataset).__name__}.'
        )
    return dataset


def _geometry_only(sample: DataSample) -> DataSample:
    known = sample.metainfo
    kept = {name: known[name] for name in UNLABELLED_META if name in known}
    return DataSample(metainfo=kept)
