"""MMEngine's datasets around datasets: which one a sample comes from."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

from mmengine.dataset import ConcatDataset
from mmpretrain.datasets import KFoldDataset


def innermost(dataset: Any, index: int) -> Tuple[Any, int]:
    """Finds the dataset that holds a sample, and the sample's place there.

    Args:
        dataset (BaseDataset): A dataset, or any of those around others:
            ``ConcatDataset``, ``RepeatDataset``, ``ClassBalancedDataset``,
            ``KFoldDataset``, in any depth.
        index (int): Index within it.

    Returns:
        tuple[BaseDataset, int]: The dataset itself if it is around none.
    """
    while wrapped(dataset):
        if isinstance(dataset, ConcatDataset):
            number, index = dataset._get_ori_dataset_idx(index)
            dataset = dataset.datasets[number]
            continue
        # A fold counts the samples of a copy that holds no others.
        if not isinstance(dataset, KFoldDataset):
            index = dataset._get_ori_dataset_idx(index)
        dataset = dataset.dataset
    return dataset, index


def leaves(dataset: Any) -> List[Any]:
    """Lists the innermost datasets, in order; of one around none, itself."""
    inner = wrapped(dataset)
    return [leaf for one in inner for leaf in leaves(one)] or [dataset]


def wrapped(dataset: Any) -> Sequence[Any]:
    """Returns the datasets that one is directly around."""
    if isinstance(dataset, ConcatDataset):
        return dataset.datasets
    # One with a pipeline makes its samples itself.
    if hasattr(dataset, 'pipeline') or not hasattr(dataset, 'dataset'):
        return ()
    return (dataset.dataset,)


def with_pipeline(config: dict, pipeline: Optional[Sequence]) -> dict:
    """Returns a copy of a dataset's config, with another pipeline."""
    if isinstance(config.get('datasets'), (list, tuple)):
        inner = [with_pipeline(one, pipeline) for one in config['datasets']]
        return dict(config, datasets=inner)
    if isinstance(config.get('dataset'), dict):
        inner = with_pipeline(config['dataset'], pipeline)
        return dict(config, dataset=inner)
    return dict(config, pipeline=pipeline)


def pipeline_of(config: dict) -> Optional[Sequence]:
    """Returns the pipeline of a dataset's config, of several the first."""
    while 'pipeline' not in config:
        inner = config.get('dataset') or (config.get('datasets') or [None])[0]
        if not isinstance(inner, dict):
            return None
        config = inner
    return config['pipeline']
