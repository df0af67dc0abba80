"""A batch knows which of its samples carry labels."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.models.distillers.batch import hard_labels, make_batch, top1
from tests.helpers import make_batch as raw_batch

LABELS = [None, 3, None, 1]


def batch(labels=LABELS, teacher_inputs=None):
    raw = raw_batch(labels)
    return make_batch(raw['inputs'], raw['data_samples'], teacher_inputs)


def test_positions_samples_and_targets():
    made = batch()
    assert made.labelled.tolist() == [1, 3]
    assert made.labelled.dtype == torch.long
    assert made.labelled_samples == [made.data_samples[i] for i in (1, 3)]
    assert made.targets.tolist() == [-1, 3, -1, 1]


def test_only_labelled_takes_the_same_rows_of_everything():
    large = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8)
    whole = batch(teacher_inputs=large)
    part = whole.only_labelled()
    assert torch.equal(part.inputs, whole.inputs[[1, 3]])
    assert torch.equal(part.teacher_inputs, large[[1, 3]])
    assert part.labelled.tolist() == [0, 1]
    assert part.targets.tolist() == [3, 1]
    assert batch().only_labelled().teacher_inputs is None


def test_a_strong_view_goes_along():
    raw = raw_batch(LABELS)
    strong = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8)
    made = make_batch(raw['inputs'], raw['data_samples'], strong_inputs=strong)
    assert made.teacher_inputs is None and made.strong_inputs is strong
    part = made.only_labelled()
    assert torch.equal(part.strong_inputs, strong[[1, 3]])
    assert batch().strong_inputs is None
    assert batch().only_labelled().strong_inputs is None


def test_an_all_labelled_batch_is_its_labelled_part():
    made = batch([0, 1])
    assert made.only_labelled() is made


def test_no_label_at_all():
    made = batch([None, None])
    assert made.labelled.tolist() == [] and made.labelled_samples == []
    assert made.labelled.dtype == torch.long


def test_soft_labels_count_by_their_largest_score():
    soft = DataSample().set_gt_score(torch.tensor([0.1, 0.2, 0.7]))
    # Mixup leaves the label beside the score; the score is what is trained.
    both = DataSample().set_gt_label(0)
    both.set_gt_score(torch.tensor([0.4, 0.6, 0.0]))
    hard = DataSample().set_gt_label(2)
    assert hard_labels([soft, both, hard]).tolist() == [2, 1, 2]
    made = make_batch(torch.zeros(2, 3, 4, 4), [DataSample(), soft])
    assert made.targets.tolist() == [-1, 2]


def test_top1_in_percent():
    samples = raw_batch([0, 1, 2, 2])['data_samples']
    logits = torch.eye(3)[[0, 1, 0, 2]]
    assert top1(logits, samples).item() == pytest.approx(75)
