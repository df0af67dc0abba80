"""What a cached teacher reads, and what it asks the other one."""

from __future__ import annotations

import copy

import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.cache import CachedTeacher
from mmkd_custom.cache.store import FeatureStore
from mmkd_custom.errors import UserError
from mmkd_custom.models.batch import Batch
from mmkd_custom.models.outputs import Outputs
from mmkd_custom.models.teachers import (
    EnsembleTeacher,
    FrozenTeacher,
    TimmTeacher,
)
from mmkd_custom.models.teachers.wrappers.base import input_summary
from mmkd_custom.registry import MODELS


class Counting(FrozenTeacher):
    """Says of an image its mean, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(mean=(0,) * 3, std=(1,) * 3)
        self.scale = torch.nn.Linear(1, 4)
        with torch.no_grad():
            self.scale.weight.fill_(1 / 3)
            self.scale.bias.copy_(torch.arange(4.0))
        self.feature_dim, self.num_classes = 4, 4
        self.offers = ('feature', 'logits', 'maps')
        self.dims = {
            'feature': (4,),
            'logits': (4,),
            'maps.0': (2, 1, 1),
            'maps.1': (1, 1, 1),
        }
        self.classes = ('a', 'b', 'c', 'd')
        self.asked = []

    def encode(self, inputs, wants) -> Outputs:
        means = inputs.mean((1, 2, 3))
        self.asked.append([round(v) for v in means.tolist()])
        feature = self.scale(means[:, None])
        maps = feature[:, :2, None, None], feature[:, 3:, None, None]
        return Outputs(feature, -feature, maps=maps)


def images(keys):
    return torch.stack(
        [torch.full((3, 2, 2), 10.0 * index + view) for index, view in keys]
    )


def batch(keys, **views):
    samples = []
    for index, view in keys:
        samples.append(DataSample())
        samples[-1].set_metainfo(dict(sample_idx=index, view=view))
    return Batch(samples, views, device='cpu')


def ask(teacher, keys, wants=('feature',), have=True):
    views = dict(student=images(keys)) if have else {}
    return teacher.ask(batch(keys, **views), wants)


@pytest.fixture
def cached(tmp_path):
    def make(dtype='float32', view='student', clean=False, **options):
        teacher = CachedTeacher(Counting(), cache_dtype=dtype, **options)
        shapes = teacher.teacher.dims
        views = 1 if clean else 2
        store = FeatureStore(tmp_path / 'cache', {}, 6, views, shapes, dtype)
        teacher.bind(store, images, view, clean)
        return teacher

    return make


def test_only_what_is_missing_is_asked(cached):
    teacher = cached()
    keys = [(0, 0), (3, 1)]
    marked = torch.tensor(keys)
    assert not teacher.holds(marked, ('feature',))
    first = ask(teacher, keys)
    assert teacher.teacher.asked == [[0, 31]]
    assert teacher.holds(marked, ('feature', 'maps'))
    again = ask(teacher, [(3, 1), (2, 0), (0, 0)])
    assert teacher.teacher.asked[1:] == [[20]]
    expected = teacher.teacher(images([(3, 1), (2, 0), (0, 0)])).feature
    assert torch.equal(again.feature, expected)
    assert torch.equal(first.feature, expected[[2, 0]])
    assert first.logits is None and first.maps is None
    # An entry twice in a batch is one value.
    twice = ask(teacher, [(1, 0), (4, 0), (1, 0)]).feature
    assert teacher.teacher.asked[-1] == [10, 40]
    assert torch.equal(twice[0], twice[2])
    assert not torch.equal(twice[0], twice[1])


def test_every_output_is_kept(cached):
    teacher = cached()
    ask(teacher, [(3, 1)])
    found = ask(teacher, [(3, 1)], ('feature', 'logits', 'maps'))
    assert len(teacher.teacher.asked) == 1
    assert torch.equal(found.logits, -found.feature)
    assert torch.equal(found.maps[0].flatten(1), found.feature[:, :2])
    assert torch.equal(found.maps[1].flatten(1), found.feature[:, 3:])


def test_half_precision_is_the_same_while_filling_and_later(cached):
    teacher = cached('float16')
    keys = [(5, 1), (4, 0)]
    filling, reading = ask(teacher, keys), ask(teacher, keys)
    assert len(teacher.teacher.asked) == 1
    assert torch.equal(filling.feature, reading.feature)
    assert filling.feature.dtype == torch.float32
    live = teacher.teacher(images(keys)).feature
    assert not torch.equal(live, reading.feature)
    assert ((live - reading.feature).abs() <= live.abs() * 2**-11).all()


def test_images_are_those_of_its_view(cached):
    teacher = cached(view='teacher')
    keys = [(1, 1)]
    # A batch without its images: they are made, from the sample and view.
    teacher.ask(batch(keys, student=images([(0, 0)])), ('feature',))
    teacher.ask(batch([(2, 1)], teacher=images([(2, 1)])), ('feature',))
    assert teacher.teacher.asked == [[11], [21]]
    # Nothing is kept of another view: the other teacher looks at it.
    for _ in range(2):
        views = dict(student=images(keys), strong=images([(5, 0)]))
        found = teacher.ask(batch(keys, **views), ('feature',), 'strong')
    assert teacher.teacher.asked[2:] == [[50], [50]]
    expected = teacher.teacher(images([(5, 0)])).feature
    assert torch.equal(found.feature, expected)


def test_a_clean_image_is_one_entry_in_every_view(cached):
    teacher = cached(view='teacher', clean=True)
    assert teacher.kept_views == 1
    keys = [(1, 7), (2, 0), (1, 3)]
    marked = torch.tensor(keys)
    assert not teacher.holds(marked, ('feature',))
    # What is missing is made in view 0, once, or looked at in the batch.
    found = teacher.ask(batch(keys), ('feature',)).feature
    assert teacher.teacher.asked == [[10, 20]]
    assert torch.equal(found[0], found[2])
    teacher.ask(batch([(3, 5)], teacher=images([(3, 0)])), ('feature',))
    assert teacher.teacher.asked[1:] == [[30]]
    assert teacher.holds(marked, ('feature',))
    again = teacher.ask(batch([(1, 4), (3, 9)]), ('feature',)).feature
    expected = teacher.teacher(images([(1, 0), (3, 0)])).feature
    assert torch.equal(again, expected)


def test_outputs_that_are_not_kept_are_asked(tmp_path):
    teacher = CachedTeacher(Counting())
    shapes = dict(feature=(4,))
    store = FeatureStore(tmp_path / 'cache', {}, 6, 2, shapes)
    teacher.bind(store, images, 'student')
    ask(teacher, [(0, 0)])
    assert not teacher.holds(torch.tensor([[0, 0]]), ('logits',))
    assert ask(teacher, [(0, 0)], ('logits',)).logits.shape == (1, 4)
    assert teacher.teacher.asked == [[0], [0]]


@pytest.mark.parametrize('have', [True, False])
def test_a_damaged_entry_is_made_again(cached, have):
    teacher = cached()
    keys = [(1, 0), (2, 1)]
    before = ask(teacher, keys, ('feature', 'logits'))
    # Still said to be there; the output that is wanted is sound.
    teacher.store._arrays['logits'][2, 1] += 1
    after = ask(teacher, keys, have=have)
    assert teacher.teacher.asked == [[10, 21], [21]]
    torch.testing.assert_close(after.feature, before.feature)
    after = ask(teacher, keys, ('logits',), have=have)
    assert len(teacher.teacher.asked) == 2
    torch.testing.assert_close(after.logits, before.logits)


def test_standardised_features_are_stored_as_they_were(cached):
    teacher = cached()
    keys = [(0, 0), (1, 0)]
    plain = ask(teacher, keys).feature
    teacher.standardize(torch.full((4,), 2.0), torch.full((4,), 4.0))
    expected = (plain - 2) / 4
    assert torch.allclose(ask(teacher, keys).feature, expected)
    fresh = ask(teacher, [(2, 0)]).feature
    live = teacher.teacher(images([(2, 0)])).feature
    assert torch.allclose(fresh, (live - 2) / 4)
    # Asked about images directly, it says the same.
    assert torch.allclose(teacher(images(keys)).feature, expected)


def test_it_is_the_other_teacher_to_everybody_else(cached):
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
    image = torch.rand(2, 3, 160, 160)
    ours, theirs = teacher(image, inner.offers), inner(image, inner.offers)
    for name, values in theirs.named_tensors().items():
        assert torch.equal(ours.named_tensors()[name], values)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(m.training for m in teacher.train().modules())
    teacher = cached()
    assert copy.deepcopy(teacher) is teacher
    other = copy.copy(teacher)
    assert other.classes == teacher.classes == ('a', 'b', 'c', 'd')
    assert other.digest() == teacher.digest()
    with pytest.raises(AttributeError, match='nothing'):
        teacher.nothing
    # Before there is a teacher inside, nothing is looked for in it.
    with pytest.raises(AttributeError, match='classes'):
        CachedTeacher.__new__(CachedTeacher).classes


def test_builds_from_a_config_and_around_an_ensemble():
    teacher = MODELS.build(
        dict(
            type='mmkd_custom.CachedTeacher',
            teacher=dict(
                type='mmkd_custom.TimmTeacher', model_name='test_vit'
            ),
            outputs=['tokens', 'feature', 'maps'],
        )
    )
    assert isinstance(teacher.teacher, TimmTeacher)
    assert teacher.kept(('feature',)) == ('feature', 'tokens', 'maps')
    ensemble = EnsembleTeacher([Counting(), Counting()], mode='features')
    assert CachedTeacher(ensemble).kept(('feature',)) == ('feature',)


@pytest.mark.parametrize(
    'outputs, wants, words',
    [
        (None, ('tokens',), ['tokens', 'feature, logits, maps']),
        (['logits'], ('feature',), ['outputs', 'feature', "['logits']"]),
    ],
)
def test_outputs_that_cannot_be_kept(outputs, wants, words):
    with pytest.raises(UserError) as error:
        CachedTeacher(Counting(), outputs=outputs).kept(wants)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(outputs=['featur']), ['outputs', "'featur'", "'feature'"]),
        (dict(outputs=['tokens']), ['outputs', "'tokens'"]),
        (dict(outputs='feature'), ['outputs', "'feature'"]),
        (dict(cache_dir=3), ['cache_dir', '3']),
        (dict(cache_dtype='bfloat16'), ['cache_dtype', "'bfloat16'"]),
        (dict(teacher=torch.nn.Linear(1, 1)), ['teacher.teacher', 'Linear']),
        (dict(teacher=CachedTeacher(Counting())), ['teacher.teacher']),
    ],
)
def test_options_that_are_wrong(options, words):
    with pytest.raises(UserError) as error:
        CachedTeacher(**{'teacher': Counting(), **options})
    assert all(word in str(error.value) for word in words)


def test_without_a_cache_it_computes_all_and_warns(log_lines):
    teacher = CachedTeacher(Counting())
    for _ in range(2):
        assert ask(teacher, [(0, 0)]).feature.shape == (1, 4)
    assert teacher.teacher.asked == [[0], [0]]
    assert sum('TeacherCacheHook' in line for line in log_lines) == 1


def test_samples_that_are_wrong(cached):
    teacher = cached()
    with pytest.raises(UserError, match='num_views'):
        ask(teacher, [(0, 2)])
    bare = batch([(0, 0)])
    bare.samples = [DataSample()]
    with pytest.raises(UserError, match='sample_idx'):
        teacher.ask(bare, ('feature',))
