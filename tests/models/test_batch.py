"""A batch knows which of its samples carry labels."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.models.batch import hard_labels, make_batch, top1
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


def test_unlabelled_positions_are_the_other_ones():
    assert batch().unlabelled.tolist() == [0, 2]
    none = batch([0, 1]).unlabelled
    assert none.tolist() == [] and none.dtype == torch.long


def test_a_batch_without_images_is_told_its_device():
    samples = raw_batch(LABELS)['data_samples']
    made = make_batch(None, samples, device='cpu')
    assert made.device == torch.device('cpu')
    assert made.targets.tolist() == [-1, 3, -1, 1]
    part = made.only_labelled()
    assert part.inputs is None and part.labelled.tolist() == [0, 1]
    assert part.targets.tolist() == [3, 1]
    with pytest.raises(ValueError, match='device'):
        make_batch(None, samples)


def test_nothing_on_the_device_is_read():
    # A value on the meta device cannot be read, so whatever works here has
    # the host wait for nothing.
    meta = torch.device('meta')
    samples = raw_batch(LABELS)['data_samples']
    for sample in samples[1::2]:
        sample.set_gt_label(sample.gt_label.to(meta))
    images = torch.zeros(4, 3, 8, 8, device=meta)
    made = make_batch(images, samples, teacher_inputs=images)
    assert made.labelled_samples == samples[1::2]
    assert made.labelled.shape == (2,)
    assert made.unlabelled.device == made.targets.device == meta
    part = made.only_labelled()
    assert part.inputs.shape == part.teacher_inputs.shape == (2, 3, 8, 8)
    logits = torch.zeros(2, 5, device=meta)
    assert top1(logits, made.labelled_samples).shape == ()


def test_soft_labels_are_looked_through_at_once(monkeypatch):
    calls = []
    argmax = torch.Tensor.argmax
    monkeypatch.setattr(
        torch.Tensor,
        'argmax',
        lambda self, *args: calls.append(self.shape) or argmax(self, *args),
    )
    samples = [DataSample().set_gt_score(torch.eye(4)[i]) for i in (2, 0, 3)]
    assert hard_labels(samples).tolist() == [2, 0, 3]
    assert calls == [(3, 4)]
