"""A batch: streams are slices, views are open, outputs are found by path."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.errors import UserError
from mmkd_custom.models.batch import Batch, hard_labels, top1
from mmkd_custom.models.outputs import Outputs
from mmkd_custom.models.source import Source, merge_wants


def samples(labels, synthetic=0):
    made = []
    for i, label in enumerate(labels):
        last = i >= len(labels) - synthetic
        stream = 'synthetic' if last else 'unlabelled'
        made.append(DataSample(metainfo=dict(stream=stream)))
        if label is not None:
            made[-1].set_gt_label(label)
    return made


def build(labels=(3, 1, None, None, None), synthetic=1, views=None):
    return Batch(samples(labels, synthetic), views or {}, device='cpu')


def test_streams_are_slices():
    batch = build()
    assert batch.labelled == slice(0, 2)
    assert batch.unlabelled == slice(2, 4)
    assert batch.synthetic == slice(4, 5)
    assert batch.targets.tolist() == [3, 1, -1, -1, -1]
    assert batch.stream.tolist() == [0, 0, 1, 1, 2]
    assert len(batch) == 5
    assert build((None, None), 0).labelled == slice(0, 0)
    assert build((None, None), 0).targets.tolist() == [-1, -1]


def test_another_order_is_refused():
    with pytest.raises(ValueError, match='labelled'):
        build((None, 1), 0)


def test_views_are_open_and_named_when_they_lack():
    image = torch.zeros(5, 3, 4, 4)
    batch = build(views=dict(student=image))
    assert batch.image('student') is image
    with pytest.raises(UserError, match='strong.*student'):
        batch.image('strong')


def test_outputs_by_path():
    batch = build()
    maps = tuple(torch.full((5, 1, 2, 2), float(i)) for i in range(3))
    feature = torch.zeros(5, 2)
    batch.outputs['clip@strong'] = Outputs(
        feature, maps=maps, more=dict(kd=torch.ones(5, 2))
    )
    assert batch.get('clip@strong.feature') is feature
    assert batch.get('clip@strong.maps.-1') is maps[2]
    assert batch.get('clip@strong.more.kd').sum() == 10
    assert torch.equal(batch.get('batch.targets'), batch.targets)
    assert torch.equal(batch.get('batch.stream'), batch.stream)
    for lacking in ('maps.3', 'maps', 'logits', 'more.x', 'grid'):
        with pytest.raises(UserError) as error:
            batch.get(f'clip@strong.{lacking}')
        assert 'maps.2' in str(error.value) and 'more.kd' in str(error.value)


def test_wants_are_merged():
    places = 'a.maps.0', 'a.maps.2', 'a.feature', 'b@x.logits', 'batch.targets'
    assert merge_wants([Source.parse(place) for place in places]) == {
        'a': ('maps', 'feature'),
        'b@x': ('logits',),
    }


def test_hard_labels_of_mixed_samples():
    soft = DataSample().set_gt_score(torch.tensor([0.1, 0.7, 0.2]))
    assert hard_labels([*samples([2]), soft]).tolist() == [2, 1]


def test_top1_is_in_percent():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 9.0]])
    assert top1(logits, torch.tensor([0, 0, 0, 1])).item() == 75
