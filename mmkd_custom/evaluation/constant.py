"""What always answering one class would score: the floor of every metric."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, Dict, Optional

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import DumpResults, Evaluator
from mmpretrain.structures import DataSample


def majority_class(dataset: Any) -> Optional[int]:
    """Returns the label that most samples of a dataset have.

    Args:
        dataset (BaseDataset): Any dataset of MMPretrain with single labels.

    Returns:
        int | None: The smallest of the most frequent labels; None when there
        is no sample, or one without exactly one label.
    """
    counts: Counter = Counter()
    for index in range(len(dataset)):
        label = _label(dataset, index)
        if label is None:
            return None
        counts[label] += 1
    return min(counts, key=lambda label: (-counts[label], label), default=None)


def constant_metrics(
    evaluator: Evaluator, dataset: Any, answer: int, num_classes: int
) -> Optional[Dict[str, float]]:
    """Computes the metrics of always giving the same answer.

    All ranks must call it: each evaluates its share, as in a test loop.

    Args:
        evaluator (Evaluator): That of the runs it stands beside; it is
            copied.
        dataset (BaseDataset): What was evaluated on.
        answer (int): The class that is always answered.
        num_classes (int): Number of classes C of the predicted scores.

    Returns:
        dict[str, float] | None: Metrics by name; None when an image has not
        exactly one label.
    """
    labels = [_label(dataset, index) for index in range(len(dataset))]
    if None in labels:
        return None
    evaluator = without_dumps(evaluator)
    scores = torch.nn.functional.one_hot(torch.tensor(answer), num_classes)
    samples = [
        DataSample()
        .set_gt_label(label)
        .set_pred_label(answer)
        .set_pred_score(scores.float())
        for label in labels[get_rank() :: get_world_size()]
    ]
    evaluator.process(samples)
    return evaluator.evaluate(len(labels))


def without_dumps(evaluator: Evaluator) -> Evaluator:
    """Copies an evaluator, less what saves the run's predictions.

    Args:
        evaluator (Evaluator): The run's.

    Returns:
        Evaluator: For other predictions.
    """
    evaluator = copy.deepcopy(evaluator)
    evaluator.metrics = [
        metric
        for metric in evaluator.metrics
        if not isinstance(metric, DumpResults)
    ]
    return evaluator


def _label(dataset: Any, index: int) -> Optional[int]:
    """Returns the one label of a sample, None if it has not exactly one."""
    label = dataset.get_data_info(index).get('gt_label')
    # One integer, or an array or a list of one.
    labels = torch.as_tensor([] if label is None else label).flatten()
    return int(labels[0]) if len(labels) == 1 else None
