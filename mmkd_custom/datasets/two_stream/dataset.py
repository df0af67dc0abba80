"""Labelled, unlabelled and synthetic images in one, with seeded views."""

from __future__ import annotations

from typing import (
    Any,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from ...errors import UserError
from ...registry import DATASETS
from ...stages import LABELLED, STUDENT, SYNTHETIC, TEACHER, UNLABELLED
from ..subset import samples_digest, split_digest
from ..wrappers import innermost
from .keys import SampleKey
from .streams import (
    build_stream,
    check_classes,
    check_distinct,
    check_labels,
    positions_outside,
    stream_info,
)
from .view_checks import check_views
from .views import (
    compose_views,
    geometry_only,
    kept_rng,
    label_only,
    names_of,
    run_seeded,
)


class _Part(NamedTuple):
    """One stream: its dataset, and its positions in the order of indices."""

    name: str
    dataset: Any
    positions: np.ndarray


@DATASETS.register_module()
class TwoStreamDataset(Dataset):
    """Joins labelled and unlabelled images, and synthetic ones if given.

    An item is a function of (``seed``, index, view) alone: the pipeline runs
    with all global random generators seeded from these. An item of the
    unlabelled or the synthetic stream never had a label: every key with
    ``gt_`` or ``label`` in its name is taken away before the pipeline runs,
    and its data sample is made anew with nothing but its geometry.

    The stream's own pipeline makes the student's view of a sample; each of
    ``pipelines`` makes a further one from the original image, such as the
    same crop at the teacher's size. It runs under the same seed, so the
    transforms that draw geometry (crop, flip) must come first and in the same
    order in both pipelines. This is looked at once, on a few samples, see
    :mod:`~mmkd_custom.datasets.two_stream.view_checks`.

    A dataset is any of MMPretrain's, or a ``ConcatDataset``,
    ``RepeatDataset``, ``KFoldDataset`` or ``ClassBalancedDataset`` around
    such; the last in the labelled stream alone, because it goes by labels.

    Args:
        labelled (dict | BaseDataset, optional): The dataset whose labels are
            used, one class a sample. None is for methods that need no label.
            Defaults to None.
        unlabelled (dict | BaseDataset, optional): The dataset whose labels,
            if it has any, are not. Defaults to None.
        seed (int): Seed of the views. Defaults to 0.
        pipelines (dict[str, Sequence[dict]], optional): Transforms, ending in
            ``PackInputs``, of further views by name: 'teacher' is what
            teachers look at, any other what a method asks for by that name,
            such as 'strong'. Defaults to None.
        synthetic (dict | BaseDataset, optional): More images without labels,
            which only distillation terms see, such as an
            :class:`~mmkd_custom.datasets.image_folder.ImageFolder`, of any
            classes. Defaults to None.
        exclude_labelled (bool): Whether the images that the labelled dataset
            holds are taken out of the unlabelled one; see
            :func:`~mmkd_custom.datasets.two_stream.streams.positions_outside`.
            Defaults to False: unlabelled images include the labelled ones.
        independent (Sequence[str]): Those of ``pipelines`` that draw on their
            own, not under the seed of the student's view. Defaults to none.
        clean (Sequence[str]): Those of ``pipelines`` that draw nothing: one
            image a sample, the same in every view. What is said of it is then
            cached once. Defaults to none.

    Attributes:
        num_labelled (int): Number of labelled samples.
        num_unlabelled (int): Number of unlabelled samples.
        num_synthetic (int): Number of synthetic samples.
        metainfo (dict): That of the labelled dataset, else of the unlabelled.
        split_sha256 (str): SHA-256 of the labelled samples and their labels.

    Raises:
        UserError: If the streams' classes differ, both hold the same images,
            the labelled one has none or several labels a sample, it cannot
            be told which images ``exclude_labelled`` means, or views are not
            as described.
    """

    def __init__(
        self,
        labelled: Union[dict, Any, None] = None,
        unlabelled: Union[dict, Any, None] = None,
        seed: int = 0,
        pipelines: Optional[Mapping[str, Sequence]] = None,
        synthetic: Union[dict, Any, None] = None,
        exclude_labelled: bool = False,
        independent: Sequence[str] = (),
        clean: Sequence[str] = (),
    ) -> None:
        self.labelled = build_stream(LABELLED, labelled)
        self.unlabelled = build_stream(UNLABELLED, unlabelled)
        self.synthetic = build_stream(SYNTHETIC, synthetic)
        self.seed = seed
        self.exclude_labelled = exclude_labelled
        self.pipelines = compose_views(pipelines)
        self.independent = names_of('independent', independent, self.pipelines)
        self.clean = names_of('clean', clean, self.pipelines)
        if exclude_labelled and None in (self.labelled, self.unlabelled):
            raise UserError(
                'exclude_labelled=True: expected a labelled and an unlabelled '
                'dataset, got one of them; give both or drop it.'
            )
        self._parts: List[_Part] = []
        if self.labelled is not None:
            self._add_part(LABELLED, self.labelled)
            check_labels(self.labelled)
        if self.unlabelled is not None:
            self._add_part(UNLABELLED, self.unlabelled)
        if len(self._parts) == 2:
            check_classes(self.labelled, self.unlabelled)
            check_distinct(self.labelled, self.unlabelled)
        if not self._parts:
            raise UserError(
                'TwoStreamDataset: expected a labelled dataset, an unlabelled '
                'one or both, got none.'
            )
        if self.synthetic is not None:
            self._add_part(SYNTHETIC, self.synthetic)
        sizes = {part.name: len(part.positions) for part in self._parts}
        self.num_labelled = sizes.get(LABELLED, 0)
        self.num_unlabelled = sizes.get(UNLABELLED, 0)
        self.num_synthetic = sizes.get(SYNTHETIC, 0)
        self.metainfo = self._parts[0].dataset.metainfo
        self.split_sha256 = split_digest(self.labelled or ())
        left_out = len(self.unlabelled or ()) - self.num_unlabelled
        print_log(
            f'TwoStreamDataset: {self.num_labelled} labelled, '
            f'{self.num_unlabelled} unlabelled ({left_out} left out) and '
            f'{self.num_synthetic} synthetic images; classes in order: '
            f'{self.CLASSES}; SHA-256 of the labelled split '
            f'{self.split_sha256}',
            logger='current',
        )
        with kept_rng():
            check_views(
                self._parts, self.pipelines, self.independent, clean, seed
            )

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
        """Class names in the order of the labels."""
        return self.metainfo.get('classes')

    def __len__(self) -> int:
        return self.num_labelled + self.num_unlabelled + self.num_synthetic

    def __getitem__(self, key: Union[SampleKey, int]) -> dict:
        """Returns one view of one sample.

        Args:
            key (SampleKey | int): The sample, its view and the images to
                make; an int means view 0 and all images.

        Returns:
            dict: The ``data_samples`` (whose metainfo holds ``sample_idx``,
            ``view`` and ``stream``: 'labelled', 'unlabelled' or 'synthetic');
            ``inputs``, the student's image as the stream's pipeline packs it,
            if the key names it; and ``views``, the other images by name, if
            it names any. Without the student's image, of the sample there is
            but its label.

        Raises:
            UserError: If the image cannot be read, a pipeline does not pack
                it, or the key names an image that no pipeline makes.
        """
        with kept_rng():
            return self._item(key)

    def __getitems__(self, keys: Sequence[Union[SampleKey, int]]) -> List:
        """Returns the items of a batch."""
        with kept_rng():
            return [self._item(key) for key in keys]

    def _item(self, key: Union[SampleKey, int]) -> dict:
        """Makes an item; leaves the random generators seeded."""
        key = SampleKey(*key) if isinstance(key, tuple) else SampleKey(key, 0)
        index, view = int(key.index), int(key.view)
        part, position = self._locate(index)
        item, views = {}, {}
        for name in self._images(key.images):
            # Its draws are the student's, its own, or always the same.
            own = (name,) if name in self.independent else ()
            seed, nth = (0, 0) if name in self.clean else (self.seed, view)
            packed = self._packed(part, position, name, seed, index, nth, *own)
            if name != STUDENT:
                views[name] = packed['inputs']
                continue
            sample = packed['data_samples']
            if part.name != LABELLED:
                sample = geometry_only(sample)
            item.update(inputs=packed['inputs'], data_samples=sample)
        if 'inputs' not in item:
            info = stream_info(part.name, part.dataset, position)
            item['data_samples'] = label_only(info)
        if views:
            item['views'] = views
        about = dict(sample_idx=index, view=view, stream=part.name)
        for name, value in about.items():
            # What set_metainfo does, less a deep copy.
            item['data_samples'].set_field(value, name, field_type='metainfo')
        return item

    def _images(self, wanted: Optional[Sequence[str]]) -> Sequence[str]:
        """Returns the names of the images to make, the student's first."""
        if wanted is None:
            return (STUDENT, *self.pipelines)
        # A teacher without images of its own looks at the student's.
        shared = TEACHER not in self.pipelines
        names = {STUDENT if n == TEACHER and shared else n for n in wanted}
        known = (STUDENT, *self.pipelines)
        for name in names.difference(known):
            raise UserError(
                f'images: expected a view out of {", ".join(known)}, got '
                f'{name!r}; give TwoStreamDataset a pipeline of that name.'
            )
        return [name for name in known if name in names]

    def _packed(
        self, part: _Part, position: int, name: str, *key: Union[int, str]
    ) -> dict:
        if name == STUDENT:
            pipeline = innermost(part.dataset, position)[0].pipeline
        else:
            pipeline = self.pipelines[name]
        # Got anew for each pipeline: they write into it, and into its image.
        info = stream_info(part.name, part.dataset, position)
        info.update(sample_idx=key[1], view=key[2])
        return run_seeded(pipeline, info, *key)

    def locate(self, index: int) -> Tuple[str, int]:
        """Returns where a sample comes from.

        Args:
            index (int): Index within this dataset.

        Returns:
            tuple[str, int]: Its stream, the name of an attribute, and its
            position there; an IndexError if there is none.
        """
        part, position = self._locate(index)
        return part.name, position

    def samples_sha256(self) -> str:
        """Returns the :func:`samples_digest` of all streams, 64 digits."""
        return samples_digest(self._parts)

    def _locate(self, index: int) -> Tuple[_Part, int]:
        within = index
        for part in self._parts:
            if 0 <= within < len(part.positions):
                return part, int(part.positions[within])
            within -= len(part.positions)
        raise IndexError(f'sample {index} of {len(self)}')
