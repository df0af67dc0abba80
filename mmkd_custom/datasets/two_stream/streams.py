"""The streams of one training run: what each holds, and what they share."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np
from mmengine.dataset import ClassBalancedDataset
from mmpretrain.datasets import KFoldDataset

from ...errors import UserError
from ...registry import DATASETS
from ...stages import LABELLED
from ...utils.class_names import class_difference
from ..domain_folder import DomainFolder
from ..domain_list import DomainList
from ..elpv import ELPV
from ..wrappers import leaves, wrapped
from .views import without_label


def build_stream(stream: str, dataset: Union[dict, Any, None]) -> Any:
    """Builds the dataset of a stream; only the labelled one must have one.

    Args:
        stream (str): 'labelled', 'unlabelled' or 'synthetic'.
        dataset (dict | BaseDataset, optional): Its config, or the dataset.

    Returns:
        BaseDataset | None: The dataset.

    Raises:
        UserError: If it is no dataset, or goes by labels that are not used.
    """
    if isinstance(dataset, dict):
        dataset = DATASETS.build(dataset)
    if dataset is None:
        return None
    for one in _all(dataset):
        if not hasattr(one, 'get_data_info') or not (
            hasattr(one, 'pipeline')
            or isinstance(one, KFoldDataset)
            or (wrapped(one) and hasattr(one, '_get_ori_dataset_idx'))
        ):
            raise UserError(
                f'{stream}: expected a dataset with get_data_info and a '
                'pipeline (any MMPretrain dataset), got '
                f'{type(one).__name__}.'
            )
        if stream != LABELLED and isinstance(one, ClassBalancedDataset):
            raise UserError(
                f'{stream}: expected a dataset that does not go by labels, '
                'got a ClassBalancedDataset; give the dataset inside.'
            )
    return dataset


def stream_info(stream: str, dataset: Any, position: int) -> dict:
    """Returns what a dataset says of a sample, to be written into.

    All streams but 'labelled' are without labels.
    """
    info = dataset.get_data_info(position)
    return info if stream == LABELLED else without_label(info)


def check_labels(dataset: Any) -> None:
    """Refuses a labelled dataset without one class a sample."""
    for leaf in filter(len, leaves(dataset)):
        info, name = leaf.get_data_info(0), type(leaf).__name__
        if 'gt_label' not in info and 'gt_score' not in info:
            raise UserError(
                'labelled: expected samples with gt_label or gt_score, but '
                f'{name} gives only {sorted(info)}.'
            )
        label = info.get('gt_label', 0)
        if isinstance(label, dict) or np.ndim(label):
            raise UserError(
                'labelled: expected images of one class each, but '
                f'{name} gives gt_label={label}: multi-label and multi-task '
                'data are not supported.'
            )


def check_classes(
    ours: Any,
    theirs: Any,
    places: Tuple[str, str] = ('the labelled stream', 'the unlabelled stream'),
) -> None:
    """Checks that two datasets have the same classes in the same order.

    Args:
        ours (BaseDataset): A dataset. One without classes fits any.
        theirs (BaseDataset): Another.
        places (tuple[str, str]): What they are called. Defaults to the
            streams of a training dataset.

    Raises:
        UserError: If they differ.
    """
    first, *rest = leaves(ours)
    # What is around others may have told their differences to be ignored.
    pairs = [(ours, theirs)]
    pairs += [(first, leaf) for leaf in rest + leaves(theirs)]
    for pair in pairs:
        # Names, and class folders where they are others: MMPretrain counts
        # the sorted folders, whatever names they are given.
        for names in (
            [
                (getattr(d, 'metainfo', None) or {}).get('classes')
                for d in pair
            ],
            [getattr(d, 'folder_to_idx', None) for d in pair],
        ):
            differs = None not in names and class_difference(*names, places)
            if differs:
                raise UserError(
                    f'{differs}; both must have the same classes in the same '
                    'order.'
                )


def check_distinct(labelled: Any, unlabelled: Any) -> None:
    """Refuses a source and a target that are the same images."""
    for ours in _whole(labelled):
        if not isinstance(ours, (DomainFolder, DomainList, ELPV)):
            continue
        for theirs in leaves(unlabelled):
            origin = getattr(theirs, 'origin', None) or ()
            # One of several sources may be the target.
            shared = [one for one in ours.origin if one in origin]
            if isinstance(ours, ELPV) and ours.origin != origin:
                shared = []
            if shared and ours.subset_indices is None:
                raise UserError(
                    f'source = target: the labelled stream ({ours.domain!r}) '
                    f'and the unlabelled one both hold the images of '
                    f'{shared[0]}; give another target domain, or a label '
                    'subset of the source (fraction or labels_per_class).'
                )


def positions_outside(unlabelled: Any, labelled: Any) -> np.ndarray:
    """Finds the images of one dataset that another does not hold.

    Images are told apart by their files (``img_path``, symbolic links of
    folders resolved). Those held in memory are told apart by their indices,
    if both datasets draw from the same data: equal ``origin``, and
    ``subset_indices`` or none for all of it.

    Args:
        unlabelled (BaseDataset): The dataset to look through.
        labelled (BaseDataset): The dataset whose images are left out.

    Returns:
        np.ndarray: Sorted positions in ``unlabelled``, int64.

    Raises:
        UserError: If it cannot be told which images are the same, or none is
            left.
    """
    theirs, ours = _identities(unlabelled, labelled)
    taken = set(ours)
    outside = [one not in taken for one in theirs]
    positions = np.flatnonzero(outside).astype(np.int64)
    if not len(positions):
        raise UserError(
            f'exclude_labelled=True: all {len(unlabelled)} unlabelled images '
            'are labelled ones, so none is left; lower the number of labels '
            'or drop it.'
        )
    return positions


def shares_images(unlabelled: Any, labelled: Any) -> bool:
    """Whether some labelled images are among the unlabelled ones.

    Args:
        unlabelled (BaseDataset): The dataset to look through.
        labelled (BaseDataset): The other one.

    Returns:
        bool: Whether it is so, as far as :func:`positions_outside` can tell.
    """
    try:
        theirs, ours = _identities(unlabelled, labelled)
    except UserError:
        return False
    return not set(theirs).isdisjoint(ours)


def _all(dataset: Any) -> Iterator[Any]:
    yield dataset
    for one in wrapped(dataset):
        yield from _all(one)


def _whole(dataset: Any) -> List[Any]:
    """Lists the innermost datasets; of a fold itself: it is not the whole."""
    inner = () if isinstance(dataset, KFoldDataset) else wrapped(dataset)
    return [one for other in inner for one in _whole(other)] or [dataset]


def _identities(*datasets: Any) -> List[list]:
    """Returns what tells the images of each dataset apart."""
    files = [_files(dataset) for dataset in datasets]
    return _indices(*datasets) if None in files else files


def _files(dataset: Any) -> Optional[List[str]]:
    """Returns the file of every image, or None if they have none."""
    folders: Dict[str, str] = {}
    files = []
    for index in range(len(dataset)):
        path = dataset.get_data_info(index).get('img_path')
        if path is None:
            return None
        folder, name = os.path.split(path)
        # Resolving every file of a large dataset would take minutes.
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        files.append(os.path.join(folders[folder], name))
    return files


def _indices(*datasets: Any) -> List[List[int]]:
    """Returns the indices of each within the data they are drawn from."""
    origins = [getattr(one, 'origin', None) for one in datasets]
    found, cut = [], False
    for dataset in datasets:
        indices = getattr(dataset, 'subset_indices', None)
        if indices is None:
            indices = np.arange(len(dataset))
        found.append(np.asarray(indices).tolist())
        # MMEngine's own `indices` option cuts a dataset without telling it.
        cut |= len(indices) != len(dataset)
        cut |= getattr(dataset, '_indices', None) is not None
    if origins[0] is None or origins[0] != origins[1] or cut:
        names = [type(one).__name__ for one in datasets]
        raise UserError(
            f'exclude_labelled=True: the images of {names[0]} (unlabelled) '
            f'and {names[1]} (labelled) have no img_path and are not drawn '
            'from the same data, so it cannot be told which are the same; '
            'drop it, or give complement=True to the unlabelled dataset.'
        )
    return found
