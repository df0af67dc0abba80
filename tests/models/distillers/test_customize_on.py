"""CustomKD that customizes the feature to unlabelled images as well."""

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.stages import CUSTOMIZATION, DISTILLATION
from tests.helpers import build_customkd, make_batch

LABELS = [0, 1, None, None]
LOGITS = 'teacher.more.customized_logits'
TERM = dict(
    loss=dict(type='CrossEntropy'),
    on=(LOGITS, 'propagated.more.labels'),
    streams='unlabelled',
    stage=CUSTOMIZATION,
)


def build(customize_on='all', term=TERM):
    return build_customkd(
        customize_on=customize_on,
        networks=dict(propagated=dict(type='PropagatedLabels')),
        terms=dict(target=term),
    )


def test_the_stage_draws_both_streams():
    for customize_on, drawn in (('all', True), ('labelled', False)):
        term = TERM if drawn else None
        stages = {s.name: s for s in build(customize_on, term).schedule.stages}
        assert stages[CUSTOMIZATION].draws('unlabelled') == drawn
        assert stages[DISTILLATION].draws('unlabelled')
        assert stages[CUSTOMIZATION].draws('labelled')


def test_the_projection_learns_from_labels_and_propagated_labels():
    model = build()
    model.train()
    model.set_stage(CUSTOMIZATION)
    torch.manual_seed(0)
    classes = model.student_view.num_classes
    soft = torch.rand(4, classes).softmax(1)
    model.networks['propagated'].fill(soft, soft, torch.ones(4).bool())
    data = model.data_preprocessor(make_batch(LABELS), True)
    for index, sample in enumerate(data['data_samples']):
        sample.set_metainfo(dict(sample_idx=index))
    losses = model.loss(**data)
    batch = model.batch(**data)
    feature = model.teacher.ask(batch, ('feature',)).feature
    logits = model.student_view.classify(model.teacher_projection(feature))
    log = logits.log_softmax(1)
    torch.testing.assert_close(
        losses['loss_target'], -(soft * log).sum(1)[2:].mean()
    )
    torch.testing.assert_close(
        losses['loss_customization'], -log[[0, 1], LABELS[:2]].mean()
    )
    total, _ = model.parse_losses(losses)
    total.backward()
    moved = {n for n, p in model.named_parameters() if p.grad is not None}
    assert moved and all(n.startswith('teacher_projection') for n in moved)


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        (dict(customize_on='labelled'), 'customize_on'),
        (dict(customize_on='target'), 'target'),
        # Nothing looks at what would be drawn.
        (dict(term=None), 'customize_on'),
        (dict(term=dict(TERM, streams='labelled')), 'customize_on'),
    ],
)
def test_wrong_options_are_named(options, word):
    with pytest.raises(UserError, match=word):
        build(**options)
