"""What the streams of one training run share: classes and images."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmpretrain.datasets import KFoldDataset

from ...errors import UserError
from ...utils.class_names import class_difference
from ..domain_folder import DomainFolder
from ..domain_list import DomainList
from ..elpv import ELPV
from ..wrappers import leaves, wrapped


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
    first = leaves(ours)[0]
    # What is around others may have told their differences to be ignored.
    pairs = [(ours, theirs)]
    pairs += [(first, leaf) for leaf in leaves(ours)[1:] + leaves(theirs)]
    for pair in pairs:
        for names in zip(*map(_class_lists, pair)):
            differs = None not in names and class_difference(*names, places)
            if differs:
                raise UserError(
                    f'{differs}; both must have the same classes in the same '
                    'order.'
                )


def _class_lists(dataset: Any) -> List[Optional[Sequence[str]]]:
    """Gives the class names, and the class folders where they are others.

    MMPretrain's datasets of folders count the sorted folders, whatever names
    they are given.
    """
    return [
        (getattr(dataset, 'metainfo', None) or {}).get('classes'),
        getattr(dataset, 'folder_to_idx', None),
    ]


def check_distinct(labelled: Any, unlabelled: Any) -> None:
    """Checks that source and target are not the same images.

    Args:
        labelled (BaseDataset): The labelled dataset.
        unlabelled (BaseDataset): The unlabelled dataset.

    Raises:
        UserError: If they are.
    """
    for ours in _whole(labelled):
        for theirs in leaves(unlabelled):
            _check_distinct(ours, theirs)


def _whole(dataset: Any) -> List[Any]:
    """Lists the innermost datasets; of a fold itself: it is not the whole."""
    inner = () if isinstance(dataset, KFoldDataset) else wrapped(dataset)
    if not inner:
        return [dataset]
    return [one for other in inner for one in _whole(other)]


def _check_distinct(labelled: Any, unlabelled: Any) -> None:
    if not isinstance(labelled, (DomainFolder, DomainList, ELPV)):
        return
    theirs = getattr(unlabelled, 'origin', None) or ()
    # One of several sources may be the target.
    shared = [one for one in labelled.origin if one in theirs]
    if isinstance(labelled, ELPV) and labelled.origin != theirs:
        shared = []
    if shared and labelled.subset_indices is None:
        raise UserError(
            'source = target: the labelled stream '
            f'({labelled.domain!r}) and the unlabelled one both hold the '
            f'images of {shared[0]}; give another target domain, or a label '
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
    theirs = _files(unlabelled)
    ours = _files(labelled) if theirs is not None else None
    if theirs is not None and ours is not None:
        taken = set(ours)
        outside = [file not in taken for file in theirs]
    else:
        outside = ~np.isin(*_indices(unlabelled, labelled))
    positions = np.flatnonzero(outside).astype(np.int64)
    if not len(positions):
        raise UserError(
            f'exclude_labelled=True: all {len(unlabelled)} unlabelled images '
            'are labelled ones, so none is left; lower the number of labels '
            'or drop it.'
        )
    return positions


def _files(dataset: Any) -> Optional[List[str]]:
    """Gives the file of every image, or None if they have none."""
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


def _indices(unlabelled: Any, labelled: Any) -> List[np.ndarray]:
    """Gives the indices of both within the data they are drawn from."""
    origins = [getattr(one, 'origin', None) for one in (unlabelled, labelled)]
    found = []
    for dataset in (unlabelled, labelled):
        indices = getattr(dataset, 'subset_indices', None)
        if indices is None:
            indices = np.arange(len(dataset))
        found.append(np.asarray(indices))
    lengths = [len(unlabelled), len(labelled)]
    # MMEngine's own `indices` option cuts a dataset without telling it.
    cut = [len(indices) for indices in found] != lengths or any(
        getattr(one, '_indices', None) is not None
        for one in (unlabelled, labelled)
    )
    if origins[0] is None or origins[0] != origins[1] or cut:
        raise UserError(
            'exclude_labelled=True: the images of '
            f'{type(unlabelled).__name__} (unlabelled) and '
            f'{type(labelled).__name__} (labelled) have no img_path and are '
            'not drawn from the same data, so it cannot be told which are '
            'the same; drop it, or give complement=True to the unlabelled '
            'dataset.'
        )
    return found
