"""The floor that every metric stands on."""

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import Accuracy, SingleLabelMetric
from sklearn.metrics import accuracy_score, f1_score

from mmkd_custom.evaluation.constant import constant_metrics, majority_class


class Labels:
    """A dataset of labels alone."""

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_data_info(self, index):
        label = self.labels[index]
        return {} if label is None else dict(gt_label=label)


@pytest.mark.parametrize(
    'labels, wanted',
    [
        ([2, 0, 2, 1], 2),
        # Of two that are as frequent, always the same one.
        ([1, 0, 0, 1], 0),
        ([[1], [1], np.array([0])], 1),
        ([], None),
        ([0, None], None),
        ([[0, 1], [1]], None),
    ],
)
def test_majority_class(labels, wanted):
    assert majority_class(Labels(labels)) == wanted


@pytest.mark.parametrize('answer', [0, 1, 2])
def test_metrics_are_those_of_scikit_learn(answer):
    labels = [0, 0, 1, 0, 2, 1, 0]
    evaluator = Evaluator(
        [SingleLabelMetric(items=['f1-score']), Accuracy(topk=1)]
    )
    found = constant_metrics(evaluator, Labels(labels), answer, 3)
    constant = [answer] * len(labels)
    assert found == pytest.approx(
        {
            'single-label/f1-score': 100
            * f1_score(labels, constant, average='macro', zero_division=0),
            'accuracy/top1': 100 * accuracy_score(labels, constant),
        }
    )
    # The evaluator of the run holds nothing of it.
    assert not any(metric.results for metric in evaluator.metrics)


def test_no_floor_without_labels():
    evaluator = Evaluator([Accuracy(topk=1)])
    assert constant_metrics(evaluator, Labels([0, None]), 0, 2) is None
    assert constant_metrics(evaluator, Labels([torch.tensor(0), 1]), 0, 2) == {
        'accuracy/top1': 50.0
    }
