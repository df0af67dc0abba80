"""The table of propagated labels as a network."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models import Distiller
from mmkd_custom.models.networks import PropagatedLabels
from tests.helpers import (
    IMAGE_SIZE,
    make_batch,
    student_config,
    teacher_config,
)

LABELS = [1, None, None, None]


def build(on='propagated.logits', loss='KLDivergence', **options):
    torch.manual_seed(0)
    model = Distiller(
        student_config(),
        teacher_config(),
        dict(
            soft=dict(
                loss=dict(type=loss),
                on=('student.logits', on),
                streams='unlabelled',
            )
        ),
        networks=dict(propagated=dict(type='PropagatedLabels', **options)),
        input_size=IMAGE_SIZE,
    )
    return model.train()


def data_of(model):
    data = model.data_preprocessor(make_batch(LABELS), True)
    for index, sample in enumerate(data['data_samples']):
        sample.set_metainfo(dict(sample_idx=index))
    return data


def tables():
    torch.manual_seed(1)
    labels, probe = torch.rand(2, 4, 5).softmax(2)
    return labels, probe, labels.argmax(1) == probe.argmax(1)


def test_it_says_of_each_sample_what_was_propagated():
    model = build(on='propagated.more.labels', loss='CrossEntropy')
    assert model.wants('distillation') == dict(
        student=('logits',), propagated=('more.labels',)
    )
    # Ahead of the first step, and of no batch.
    assert model.asked('teacher') == ('feature',)
    assert model.images('distillation') == ('student',)
    labels, probe, agree = tables()
    network = model.networks['propagated']
    network.fill(labels, probe, agree)
    batch = model.batch(**data_of(model))
    wants = ('logits', 'more.labels', 'more.probe')
    found = network.ask(batch, wants)
    torch.testing.assert_close(found.logits.softmax(1), labels)
    torch.testing.assert_close(found.more['labels'], labels)
    torch.testing.assert_close(found.more['probe'].exp(), probe)
    losses = model.eval().loss(**data_of(model))
    student = model.student_view.run(batch.views['student']).logits
    expected = -(labels * student.log_softmax(1)).sum(1)[1:].mean()
    torch.testing.assert_close(losses['loss_soft'], expected)


def test_sharper_labels_and_rows_that_are_left_out():
    model = build(temperature=0.5, gate='agree')
    labels, probe, _ = tables()
    agree = torch.tensor([True, False, True, False])
    network = model.networks['propagated']
    network.fill(labels, probe, agree)
    kept = network.ask(model.batch(**data_of(model)), ('more.labels',))
    expected = labels**2 / (labels**2).sum(1, keepdim=True)
    expected[~agree] = 0
    torch.testing.assert_close(kept.more['labels'], expected)


def test_it_is_refused_before_it_was_filled():
    model = build()
    with pytest.raises(UserError, match='PropagateLabelsHook'):
        model.loss(**data_of(model))


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        (dict(of='clip'), 'clip'),
        (dict(alpha=1.0), 'alpha'),
        (dict(neighbours=0), 'neighbours'),
        (dict(steps=2.5), 'steps'),
        (dict(exponent=-1), 'exponent'),
        (dict(temperature=0), 'temperature'),
        (dict(standardize='domain'), 'standardize'),
        (dict(class_mass='equal'), 'class_mass'),
        (dict(gate='sure'), 'gate'),
    ],
)
def test_wrong_options_are_named(options, word):
    with pytest.raises(UserError, match=word):
        build(**options)


def test_it_holds_no_weights():
    network = PropagatedLabels()
    network.fill(*tables())
    assert not network.state_dict()
