"""The teacher's memory gives back what the teacher said."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers import TeacherMemory, TeacherOutput


def samples(*keys):
    return [DataSample(metainfo=dict(sample_idx=i, view=v)) for i, v in keys]


def filled(views=2, logits=True):
    memory = TeacherMemory(3, views, 4, 5 if logits else None)
    keys = [(i, v) for i in range(3) for v in range(views)]
    output = TeacherOutput(
        torch.randn(len(keys), 4),
        torch.randn(len(keys), 5) if logits else None,
    )
    memory.write(samples(*keys), output)
    return memory, dict(zip(keys, output.feature)), output


def test_reads_what_was_written():
    memory, features, _ = filled()
    got = memory.read(samples((2, 1), (0, 0), (2, 1)), torch.device('cpu'))
    assert torch.equal(got.feature[0], features[2, 1])
    assert torch.equal(got.feature[1], features[0, 0])
    assert torch.equal(got.feature[2], features[2, 1])
    assert got.logits.shape == (3, 5)


def test_without_logits():
    memory, _, _ = filled(logits=False)
    assert memory.read(samples((0, 0)), torch.device('cpu')).logits is None


def test_an_unknown_view_is_refused():
    memory, _, _ = filled(views=2)
    with pytest.raises(UserError, match='num_views'):
        memory.read(samples((0, 2)), torch.device('cpu'))


def test_a_sample_without_key_is_refused():
    memory, _, _ = filled()
    with pytest.raises(UserError, match='sample_idx'):
        memory.read([DataSample()], torch.device('cpu'))
