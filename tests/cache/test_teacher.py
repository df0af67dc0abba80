"""Tests of CachedTeacher."""

from __future__ import annotations

import copy

import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.cache import CachedTeacher
from mmkd_custom.cache.store import FeatureStore
from mmkd_custom.errors import UserError
from mmkd_custom.models.outputs import Outputs
from mmkd_custom.models.teachers import (
    EnsembleTeacher,
    FrozenTeacher,
    TimmTeacher,
)
from mmkd_custom.models.teachers.wrappers.base import input_summary


class Counting(FrozenTeacher):
    """Says of an image its mean, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(mean=(0,) * 3, std=(255,) * 3)
        self.scale = torch.nn.Linear(1, 4)
        with torch.no_grad():
            self.scale.weight.fill_(1 / 3)
            self.scale.bias.copy_(torch.arange(4.0))
        self.feature_dim, self.num_classes = 4, 4
        self.dims = dict(feature=(4,), logits=(4,))
        self.classes = ('a', 'b', 'c', 'd')
        self.asked = []

    def encode(self, inputs, wants) -> Outputs:
        self.asked.append([round(v) for v in inputs.mean((1, 2, 3)).tolist()])
        feature = self.scale(inputs.mean((1, 2, 3), keepdim=False)[:, None])
        return Outputs(feature, -feature)


def image(index, view):
    return torch.full((3, 2, 2), 10.0 * index + view)


def images(keys):
    return torch.stack([image(*key) for key in keys])


def samples(keys):
    made = []
    for index, view in keys:
        sample = DataSample()
        sample.set_metainfo(dict(sample_idx=index, view=view))
        made.append(sample)
    return made


def recall(teacher, keys, wants=('feature',), have=True):
    return teacher.recall(
        samples(keys),
        wants,
        lambda positions: (
            images([keys[p] for p in positions]) if have else None
        ),
    )


@pytest.fixture
def cached(tmp_path):
    def make(dtype='float32', folder='cache', **options):
        teacher = CachedTeacher(Counting(), cache_dtype=dtype, **options)
        store = FeatureStore(
            tmp_path / folder, {}, 6, 2, teacher.teacher.dims, dtype
        )
        teacher.bind(store, images)
        return teacher

    return make


def test_only_what_is_missing_is_asked(cached):
    teacher = cached()
    keys = [(0, 0), (3, 1)]
    first = recall(teacher, keys)
    assert teacher.teacher.asked == [[0, 31]]
    again = recall(teacher, [(3, 1), (2, 0), (0, 0)])
    assert teacher.teacher.asked[1:] == [[20]]
    expected = teacher.teacher(images([(3, 1), (2, 0), (0, 0)])).feature
    assert torch.equal(again.feature, expected)
    assert torch.equal(first.feature, expected[[2, 0]])
    assert first.logits is None
    both = recall(teacher, keys, ('feature', 'logits'))
    assert torch.equal(both.logits, -both.feature)


def test_an_entry_twice_in_a_batch_is_one_value(cached):
    teacher = cached()
    output = recall(teacher, [(1, 0), (2, 0), (1, 0)])
    assert teacher.teacher.asked == [[10, 20]]
    assert torch.equal(output.feature[0], output.feature[2])
    assert not torch.equal(output.feature[0], output.feature[1])


def test_half_precision_is_the_same_while_filling_and_later(cached):
    teacher = cached('float16')
    keys = [(5, 1), (4, 0)]
    filling, reading = recall(teacher, keys), recall(teacher, keys)
    assert len(teacher.teacher.asked) == 1
    assert torch.equal(filling.feature, reading.feature)
    assert filling.feature.dtype == torch.float32
    live = teacher.teacher(images(keys)).feature
    assert not torch.equal(live, reading.feature)
    assert ((live - reading.feature).abs() <= live.abs() * 2**-11).all()


def test_a_batch_without_images_gets_them_elsewhere(cached):
    teacher = cached()
    output = recall(teacher, [(1, 1)], have=False)
    assert teacher.teacher.asked == [[11]]
    assert torch.equal(
        output.feature, teacher.teacher(images([(1, 1)])).feature
    )


@pytest.mark.parametrize('have', [True, False])
def test_a_damaged_entry_is_made_again(cached, have):
    teacher = cached()
    keys = [(1, 0), (2, 1)]
    before = recall(teacher, keys, ('feature', 'logits'))
    # Still said to be there; the output that is wanted is sound.
    teacher.store._arrays['logits'][2, 1] += 1
    after = recall(teacher, keys, have=have)
    assert teacher.teacher.asked == [[10, 21], [21]]
    torch.testing.assert_close(after.feature, before.feature)
    after = recall(teacher, keys, ('logits',), have=have)
    assert len(teacher.teacher.asked) == 2
    torch.testing.assert_close(after.logits, before.logits)


def test_standardised_features_are_stored_as_they_were(cached):
    teacher = cached()
    keys = [(0, 0), (1, 0)]
    plain = recall(teacher, keys).feature
    mean, std = torch.full((4,), 2.0), torch.full((4,), 4.0)
    teacher.standardize(mean, std)
    expected = (plain - 2) / 4
    assert torch.allclose(recall(teacher, keys).feature, expected)
    fresh = recall(teacher, [(2, 0)]).feature
    assert torch.allclose(
        fresh, (teacher.teacher(images([(2, 0)])).feature - 2) / 4
    )
    # Asked about images directly, it says the same.
    assert torch.allclose(teacher(images(keys)).feature, expected)


def test_it_is_the_other_teacher_to_everybody_else():
    inner = TimmTeacher(
        'test_vit', input_size=160, max_batch=3, dtype='bfloat16'
    )
    teacher = CachedTeacher(inner)
    assert teacher.digest() == inner.digest()
    assert input_summary(teacher) == input_summary(inner)
    for name in (
        'name',
        'weights',
        'offers',
        'dims',
        'feature_dim',
        'num_classes',
        'dtype',
        'max_batch',
        'memory_format',
        'feature',
    ):
        assert getattr(teacher, name) == getattr(inner, name), name
    assert CachedTeacher(Counting()).classes == ('a', 'b', 'c', 'd')
    assert getattr(teacher, 'classes', None) is None
    image = torch.rand(2, 3, 160, 160)
    ours, theirs = teacher(image, inner.offers), inner(image, inner.offers)
    for name, values in theirs.named_tensors().items():
        assert torch.equal(ours.named_tensors()[name], values)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(m.training for m in teacher.train().modules())


def test_copies_and_what_nobody_has(cached):
    teacher = cached()
    assert copy.deepcopy(teacher) is teacher
    other = copy.copy(teacher)
    assert other.classes == teacher.classes
    assert other.digest() == teacher.digest()
    with pytest.raises(AttributeError, match='nothing'):
        teacher.nothing
    # Before there is a teacher inside, nothing is looked for in it.
    with pytest.raises(AttributeError, match='classes'):
        CachedTeacher.__new__(CachedTeacher).classes


def test_an_ensemble_inside():
    ensemble = EnsembleTeacher([Counting(), Counting()], mode='features')
    teacher = CachedTeacher(ensemble)
    assert teacher.kept(('feature',)) == ('feature',)
    assert input_summary(teacher) == input_summary(ensemble)


def test_builds_from_a_config():
    from mmkd_custom.registry import MODELS

    teacher = MODELS.build(
        dict(
            type='mmkd_custom.CachedTeacher',
            teacher=dict(
                type='mmkd_custom.TimmTeacher', model_name='test_vit'
            ),
            outputs=['tokens', 'feature'],
        )
    )
    assert isinstance(teacher.teacher, TimmTeacher)
    assert teacher.kept(('feature',)) == ('feature', 'tokens')


@pytest.mark.parametrize(
    'outputs, wants, words',
    [
        (None, ('maps',), 'asks for maps, but only feature, logits, tokens'),
        (['logits'], ('feature',), 'leaves it out'),
        (['feature', 'tokens'], ('feature',), 'offers only feature, logits'),
    ],
)
def test_what_it_cannot_keep(outputs, wants, words):
    with pytest.raises(UserError, match=words):
        CachedTeacher(Counting(), outputs=outputs).kept(wants)


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(outputs=['featur']), "'featur' cannot be cached.*feature"),
        (dict(outputs='feature'), "outputs='feature', but a list"),
        (dict(cache_dir=3), 'cache_dir=3, but the path of a folder'),
        (dict(cache_dtype='bfloat16'), "cache_dtype='bfloat16' is not one"),
        (dict(teacher=torch.nn.Linear(1, 1)), 'Linear is no FrozenTeacher'),
        (dict(teacher=CachedTeacher(Counting())), 'inside a CachedTeacher'),
    ],
)
def test_options_that_are_wrong(options, words):
    with pytest.raises(UserError, match=words):
        CachedTeacher(**{'teacher': Counting(), **options})


def test_without_an_open_cache():
    with pytest.raises(UserError, match='TeacherCacheHook'):
        recall(CachedTeacher(Counting()), [(0, 0)])


def test_samples_of_another_dataset(cached):
    teacher = cached()
    with pytest.raises(UserError, match='view 2 was drawn.*holds 2'):
        recall(teacher, [(0, 2)])
    with pytest.raises(UserError, match='no sample_idx in its metainfo'):
        teacher.recall([DataSample()], ('feature',), lambda _: None)
