"""Heads beside the student's own: DHO, LELP, OFA, and an assistant."""

import pytest
import torch
from mmengine.registry import DefaultScope

from mmkd_custom.errors import UserError
from mmkd_custom.models import Distiller
from mmkd_custom.models.networks import (
    Assistant,
    Peer,
    StageExits,
    StudentHead,
    SubclassHead,
)
from mmkd_custom.models.outputs import Outputs
from mmkd_custom.registry import MODELS
from tests.helpers import IMAGE_SIZE, make_batch, student_config
from tests.models.networks.cases import LINEAR, classifier, term

TEACHER = dict(
    type='TimmTeacher',
    model_name='test_efficientnet',
    input_size=None,
    num_classes=5,
)


def build(networks, terms=None, **options):
    torch.manual_seed(0)
    return Distiller(
        student_config(),
        dict(TEACHER),
        terms,
        networks=networks,
        input_size=IMAGE_SIZE,
        data_preprocessor=dict(num_classes=5),
        **options,
    ).eval()


def data_of(model, labels=(0, 1, None, None)):
    return model.data_preprocessor(make_batch(labels), True)


DHO = dict(
    networks=dict(kd=dict(type='StudentHead')),
    terms={
        f'kd_{stream}': term(
            'kd.logits',
            'teacher.logits',
            'KLDivergence',
            streams=stream,
            weight=0.5,
        )
        for stream in ('labelled', 'unlabelled')
    },
    supervised_weight=0.5,
)


def test_dho_keeps_each_loss_to_its_own_head():
    model = build(**DHO)
    losses = model.loss(**data_of(model))
    own = model.student_view.classifier.weight
    head, backbone = model.networks['kd'].fc, model.student.backbone
    first = next(backbone.parameters())
    for key, parameters in (
        ('loss_ce', (True, False, True)),
        ('loss_kd_labelled', (False, True, True)),
        ('loss_kd_unlabelled', (False, True, True)),
    ):
        found = torch.autograd.grad(
            losses[key],
            (own, head.weight, first),
            retain_graph=True,
            allow_unused=True,
        )
        # The other head's gradient is exactly none.
        assert tuple(g is not None for g in found) == parameters


def test_a_head_reads_the_view_that_it_is_asked_about():
    model = build(
        dict(expert=dict(type='StudentHead')),
        dict(
            consistency=term('expert@strong.logits', 'expert.logits'),
        ),
        supervised_weight=0,
    )
    assert model.wants('distillation') == {
        'student': ('feature',),
        'student@strong': ('feature',),
        'expert@strong': ('logits',),
        'expert': ('logits',),
    }
    assert model.images('distillation') == ('strong', 'student')
    data = data_of(model)
    flipped = data['inputs'].flip(3)
    losses = model.loss(**data, views=dict(strong=flipped))
    weak, strong = (
        model.networks['expert'].fc(model.student_view.run(x).feature)
        for x in (data['inputs'], flipped)
    )
    torch.testing.assert_close(
        losses['loss_consistency'], (strong - weak).square().mean()
    )


def test_a_head_like_another_networks_logits():
    model = build(
        dict(source=dict(type='StudentHead', like='teacher.feature')), {}
    )
    width = model.teacher.feature_dim
    assert model.networks['source'].fc.out_features == width
    for options, word in (
        (dict(of='student.maps.0'), 'StudentHead.of'),
        (dict(like='student.maps.0'), 'StudentHead.like'),
    ):
        with pytest.raises(UserError, match=word):
            build(dict(source=dict(type='StudentHead', **options)), {})


def subclasses(count, width=6, classes=3, **options):
    head = SubclassHead(subclasses=count, **options)
    head.register_buffer('means', torch.zeros(classes, width))
    head.register_buffer('directions', torch.zeros(classes, count, width))
    return head


def test_subclasses_of_a_class_sum_to_its_probability():
    torch.manual_seed(0)
    head = subclasses(4, sharpness=2.0)
    means, directions = torch.randn(3, 6), torch.randn(3, 4, 6)
    with pytest.raises(UserError, match='SubclassHook'):
        head.label(torch.randn(5, 6), torch.randn(5, 3))
    head.fill(means, directions)
    h, z = torch.randn(5, 6), 3 * torch.randn(5, 3)
    found = head.label(h, z).view(5, 3, 4)
    torch.testing.assert_close(found.sum(2), z.softmax(1))
    for c in range(3):
        scores = torch.stack([(h - means[c]) @ v for v in directions[c]], 1)
        expected = z.softmax(1)[:, c, None] * (2 * scores).softmax(1)
        torch.testing.assert_close(found[:, c], expected)


def test_one_subclass_is_the_soft_target():
    head = subclasses(1)
    head.fill(torch.randn(3, 6), torch.randn(3, 1, 6))
    z = torch.randn(5, 3)
    torch.testing.assert_close(head.label(torch.randn(5, 6), z), z.softmax(1))


def test_exits_classify_the_stages():
    model = build(dict(exits=dict(type='StageExits', stages=(0, 2))), {})
    exits = model.networks['exits']
    assert list(exits.shapes) == ['more.0', 'more.2']
    with pytest.raises(TypeError, match='stages'):
        StageExits()
    for wrong in ((), (-1,), 2, ('0',)):
        with pytest.raises(UserError, match='StageExits.stages'):
            StageExits(wrong)
    with pytest.raises(UserError, match='maps.9'):
        build(dict(exits=dict(type='StageExits', stages=(9,))), {})


def test_what_an_assistant_has_not_learnt():
    model = build(
        dict(assistant=dict(type='Assistant', model=classifier())),
        dict(
            residual=term(
                'student.feature',
                'assistant.more.residual',
                connector=LINEAR,
                weight=0.2,
            )
        ),
    )
    assistant = model.networks['assistant']
    batch = model.batch(**data_of(model))
    teacher = model.teacher.ask(batch, ('feature',))
    batch.outputs['teacher'] = teacher
    said = assistant.ask(batch, ('more.taught', 'more.residual'))
    expected = assistant.fc(said.feature)
    torch.testing.assert_close(said.get('more.taught'), expected)
    torch.testing.assert_close(
        said.get('more.residual'), expected - teacher.feature
    )
    # An assistant that has learnt all leaves nothing.
    batch.outputs['teacher'] = Outputs(expected)
    assert (
        not assistant.ask(batch, ('more.residual',)).get('more.residual').any()
    )


def test_the_better_peer_gets_no_gradient_from_the_other():
    model = build(
        dict(peer=dict(type='Peer', model=classifier())),
        dict(kd=term('student.logits', 'peer.logits', 'KLDivergence')),
    )
    model.loss(**data_of(model))['loss_kd'].backward()
    assert all(p.grad is None for p in model.networks.parameters())
    assert any(p.grad is not None for p in model.student.parameters())


@pytest.mark.parametrize('kind', [Peer, Assistant])
def test_a_module_that_is_given_is_saved_once(kind):
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        given = MODELS.build(classifier())
    model = build(dict(peer=dict(type=kind, model=given)), {})
    (saved,) = (n for n, m in model.networks.named_modules() if m is given)
    assert saved == 'peer.model'
    keys = [k for k in model.state_dict() if k.endswith('backbone.cls_token')]
    assert keys == ['networks.peer.model.backbone.cls_token']


@pytest.mark.parametrize('kind', [Peer, Assistant])
def test_a_peer_of_other_classes_is_named(kind):
    with pytest.raises(UserError) as error:
        build(dict(peer=dict(type=kind, model=classifier(classes=4))), {})
    for word in (f'{kind.__name__}.model', '5', '4'):
        assert word in str(error.value)


def test_options_of_heads_are_named():
    for options, word in (
        (dict(subclasses=0), 'SubclassHead.subclasses'),
        (dict(sharpness=-1.0), 'SubclassHead.sharpness'),
    ):
        with pytest.raises(UserError, match=word):
            SubclassHead(**options)
    with pytest.raises(UserError, match='SubclassHead.of'):
        build(dict(sub=dict(type='SubclassHead', of='clip')), {})
    with pytest.raises(UserError, match='SubclassHead.logits'):
        build(
            dict(sub=dict(type='SubclassHead', logits='teacher.feature')), {}
        )
    assert StudentHead().of[0].output == 'feature'
