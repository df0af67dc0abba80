"""One stream of a training run: its dataset, and what it tells of a sample."""

from __future__ import annotations

from typing import Any, Iterator, Union

import numpy as np
from mmengine.dataset import ClassBalancedDataset
from mmpretrain.datasets import KFoldDataset

from ...errors import UserError
from ...registry import DATASETS
from ...stages import LABELLED
from ..wrappers import leaves, wrapped
from .packing import without_label


def build_stream(stream: str, dataset: Union[dict, Any, None]) -> Any:
    """Builds the dataset of a stream.

    Args:
        stream (str): 'labelled', 'unlabelled' or 'synthetic'.
        dataset (dict | BaseDataset, optional): Its config, or the dataset.
            Only the labelled stream must have one.

    Returns:
        BaseDataset | None: The dataset.

    Raises:
        UserError: If it is none, or goes by labels that it must not use.
    """
    if isinstance(dataset, dict):
        dataset = DATASETS.build(dataset)
    if dataset is None and stream != LABELLED:
        return None
    for one in _all(dataset):
        if not hasattr(one, 'get_data_info') or not (
            hasattr(one, 'pipeline')
            or isinstance(one, KFoldDataset)
            or (wrapped(one) and hasattr(one, '_get_ori_dataset_idx'))
        ):
            raise UserError(
                f'{stream}: a dataset with get_data_info and a pipeline (any '
                f'MMPretrain dataset) is wanted, but got {type(one).__name__}.'
            )
        if stream != LABELLED and isinstance(one, ClassBalancedDataset):
            raise UserError(
                f'{stream}: a ClassBalancedDataset repeats images by their '
                'labels, which no stream but the labelled one may use; give '
                'the dataset inside.'
            )
    return dataset


def check_labels(dataset: Any) -> None:
    """Checks that a dataset gives one class a sample.

    Args:
        dataset (BaseDataset): Of the labelled stream.

    Raises:
        UserError: If it gives none, or several.
    """
    for leaf in filter(len, leaves(dataset)):
        _check_label(leaf)


def _check_label(dataset: Any) -> None:
    info = dataset.get_data_info(0)
    if 'gt_label' not in info and 'gt_score' not in info:
        raise UserError(
            'labelled: samples with gt_label or gt_score are wanted, but '
            f'{type(dataset).__name__} gives only {sorted(info)}.'
        )
    label = info.get('gt_label', 0)
    if isinstance(label, dict) or np.ndim(label):
        raise UserError(
            'labelled: images of one class each are wanted, but '
            f'{type(dataset).__name__} gives gt_label={label}: multi-label '
            'and multi-task data are not supported.'
        )


def stream_info(stream: str, dataset: Any, position: int) -> dict:
    """Gives what a dataset says of a sample, in its stream.

    Args:
        stream (str): All but 'labelled' are without labels.
        dataset (BaseDataset): The dataset.
        position (int): The sample.

    Returns:
        dict: Anew each time, to be written into.
    """
    info = dataset.get_data_info(position)
    return info if stream == LABELLED else without_label(info)


def _all(dataset: Any) -> Iterator[Any]:
    yield dataset
    for one in wrapped(dataset):
        yield from _all(one)
