"""A term: its places, shapes, weight and streams, checked when it is built."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.errors import UserError
from mmkd_custom.models.batch import Batch
from mmkd_custom.models.connectors import LinearConnector
from mmkd_custom.models.distillers import Ramp, Term
from mmkd_custom.models.outputs import Outputs, Shape
from mmkd_custom.models.source import Source

SHAPES = {
    'student.feature': Shape((4,)),
    'student.logits': Shape((3,)),
    'student.maps.2': Shape((8, 4, 4)),
    'teacher.feature': Shape((6,)),
    'teacher.logits': Shape((3,)),
    'teacher.tokens': Shape((9, 5), grid=(3, 3)),
    'batch.targets': Shape((), classes=3),
}
MSE = dict(type='MSE')


def shape_of(source):
    try:
        return SHAPES[str(source)]
    except KeyError:
        raise UserError(f'expected one of {list(SHAPES)}, got {source}.')


def build(**term):
    return Term('t', term, shape_of)


def batch(streams='lluus'):
    samples = []
    for name in streams:
        stream = dict(l='labelled', u='unlabelled', s='synthetic')[name]
        samples.append(DataSample(metainfo=dict(stream=stream)))
        if name == 'l':
            samples[-1].set_gt_label(1)
    made = Batch(samples, {}, device='cpu')
    for who, width in (('student', 4), ('teacher', 6)):
        made.outputs[who] = Outputs(
            torch.randn(len(streams), width, requires_grad=True),
            torch.randn(len(streams), 3, requires_grad=True),
        )
    return made


def test_defaults():
    term = build(loss=MSE)
    assert [str(s) for s in term.sources] == [
        'student.feature',
        'teacher.feature',
    ]
    assert (term.weight, term.streams, term.stage) == (
        1.0,
        'all',
        'distillation',
    )
    assert isinstance(term.connector, LinearConnector)
    assert build(loss=MSE, on='logits').connector is None


@pytest.mark.parametrize(
    'streams, rows',
    [
        ('all', [0, 1, 2, 3, 4]),
        ('labelled', [0, 1]),
        ('unlabelled', [2, 3, 4]),
        ('synthetic', [4]),
    ],
)
def test_it_is_its_loss_on_its_streams_and_the_target_is_detached(
    streams, rows
):
    term = build(loss=MSE, on='logits', weight=3.0, streams=streams)
    made = batch()
    value = term(made)
    left, right = (made.outputs[w].logits for w in ('student', 'teacher'))
    expected = 3 * (left[rows] - right[rows]).square().mean()
    torch.testing.assert_close(value, expected)
    value.backward()
    assert right.grad is None
    assert left.grad.abs().sum(1).nonzero().flatten().tolist() == rows


def test_a_loss_of_labels_is_told_how_many_classes_there_are():
    loss = build(loss=dict(type='NormDirection')).loss
    assert loss.num_classes == 3 and loss.sums.shape == (3, 6)


def test_no_image_of_its_streams_is_no_term():
    assert build(loss=MSE, on='logits', streams='synthetic')(batch('ll')) is (
        None
    )


@pytest.mark.parametrize(
    'progress, value', [(0.0, 1.0), (0.1, 2.0), (0.2, 3.0), (0.9, 3.0)]
)
def test_a_ramp_is_a_function_of_the_progress(progress, value):
    ramp = dict(type='Ramp', to=3.0, over=0.2, start=1.0)
    torch.manual_seed(0)
    found = build(loss=MSE, on='logits', weight=ramp)(batch(), progress)
    torch.manual_seed(0)
    once = build(loss=MSE, on='logits')(batch())
    torch.testing.assert_close(found, value * once)


def test_a_ramp_must_be_told_the_progress():
    with pytest.raises(UserError, match='StageHook'):
        build(loss=MSE, on='logits', weight=dict(type='Ramp'))(batch())


@pytest.mark.parametrize(
    'options', [dict(over=0), dict(over=2), dict(to=-1), dict(start='a')]
)
def test_wrong_ramps(options):
    with pytest.raises(UserError, match=next(iter(options))):
        Ramp(**options)


@pytest.mark.parametrize(
    'term, named',
    [
        (dict(loss=MSE, temperature=4), ['terms.t', 'temperature']),
        (dict(on='feature'), ['terms.t', 'loss']),
        (dict(loss=MSE, on='attention'), ['terms.t.on', 'attention']),
        (dict(loss=MSE, on=('a.b', 'c.d', 'e.f')), ['terms.t.on']),
        (dict(loss=MSE, on=('student.', 'c.d')), ['on', 'student.']),
        (dict(loss=MSE, streams='both'), ['terms.t.streams', 'both']),
        (dict(loss=MSE, weight=-1), ['terms.t.weight', '-1']),
        # Labels on a stream that has none.
        (
            dict(loss=dict(type='NormDirection'), streams='unlabelled'),
            ['terms.t.streams', 'NormDirection', 'label', 'unlabelled'],
        ),
        (
            dict(
                loss=dict(type='CrossEntropy'),
                on=('student.logits', 'batch.targets'),
                streams='synthetic',
            ),
            ['terms.t.streams', 'batch.targets', 'synthetic'],
        ),
        # Two shapes without a connector: both, and what would fit.
        (
            dict(loss=MSE, on=('student.maps.2', 'teacher.tokens')),
            ['student.maps.2', '(8, 4, 4)', '(9, 5)', 'SpatialConnector'],
        ),
        (
            dict(loss=MSE, connector=None),
            ['(4,)', '(6,)', 'LinearConnector'],
        ),
        (
            dict(loss=MSE, connector=dict(type='SpatialConnector')),
            ['terms.t.connector', '(4,)', '(6,)', 'LinearConnector'],
        ),
    ],
)
def test_malformed_terms_are_named(term, named):
    with pytest.raises(UserError) as error:
        build(**term)
    assert not [word for word in named if word not in str(error.value)]


@pytest.mark.parametrize('name', ['ce', 'a.b', 'keys', ''])
def test_names_that_no_term_can_have(name):
    with pytest.raises(UserError, match='terms'):
        Term(name, dict(loss=MSE), shape_of)


@pytest.mark.parametrize(
    'text, parts',
    [
        ('student.logits', ('student', None, 'logits', 'logits')),
        ('clip.maps.-1', ('clip', None, 'maps.-1', 'maps')),
        (
            'student@strong.more.kd',
            ('student', 'strong', 'more.kd', 'more.kd'),
        ),
    ],
)
def test_places(text, parts):
    source = Source.parse(text)
    assert (*source, source.want) == parts
    assert str(source) == text
