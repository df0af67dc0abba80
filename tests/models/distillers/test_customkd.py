"""CustomKD against its equations, term by term."""

import copy

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch.nn import functional as F

from mmkd_custom.errors import UserError
from mmkd_custom.models import Distiller
from mmkd_custom.stages import CUSTOMIZATION, DISTILLATION
from tests.helpers import (
    IMAGE_SIZE,
    build_customkd,
    digests,
    make_batch,
    student_config,
    teacher_config,
)

LABELS = [0, 1, 2, 3, None, None, None, None]


def optimiser(model, **kwargs):
    cfg = dict(
        type='OptimWrapper',
        constructor='mmkd_custom.StagedOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1),
    )
    cfg.update(kwargs)
    return build_optim_wrapper(model, cfg)


def projection_of(model):
    """What takes the student's feature to the teacher's width."""
    return model.terms()['general'].connector


def steps(model, wrapper, stage, labels, count=3):
    model.train()
    model.set_stage(stage)
    wrapper.set_stage(stage)
    for i in range(count):
        logs = model.train_step(make_batch(labels, seed=i), wrapper)
    return logs


def processed(model, labels=LABELS):
    data = model.data_preprocessor(make_batch(labels), True)
    return data['inputs'], data['data_samples']


def test_customization_moves_the_projection_alone():
    model = build_customkd()
    wrapper = optimiser(model)
    student, teacher = digests(model.student), model.teacher.digest()
    other = digests(projection_of(model))
    moved = digests(model.teacher_projection)
    logs = steps(model, wrapper, CUSTOMIZATION, LABELS)
    # The student: every parameter and every BatchNorm statistic, bit for bit,
    # under an optimiser with weight decay.
    assert digests(model.student) == student
    assert digests(projection_of(model)) == other
    assert model.teacher.digest() == teacher
    after = digests(model.teacher_projection)
    assert all(after[name] != moved[name] for name in moved)
    assert set(logs) == {
        'loss',
        'loss_customization',
        'teacher_top1',
        'time_teacher',
    }


def test_distillation_keeps_the_projection():
    model = build_customkd()
    wrapper = optimiser(model)
    projection, teacher = (
        digests(model.teacher_projection),
        model.teacher.digest(),
    )
    student = digests(model.student)
    theirs = digests(projection_of(model))
    steps(model, wrapper, DISTILLATION, LABELS)
    assert digests(model.teacher_projection) == projection
    assert model.teacher.digest() == teacher
    after = digests(model.student)
    still = [name for name in student if after[name] == student[name]]
    assert not still
    assert digests(projection_of(model)) != theirs


@pytest.mark.parametrize(
    'wrapper_cfg',
    [
        dict(constructor='DefaultOptimWrapperConstructor'),
        dict(),
    ],
)
def test_one_optimiser_for_all_keeps_the_stages_apart_too(wrapper_cfg):
    model = build_customkd()
    wrapper = optimiser(model, **wrapper_cfg)
    set_stage = getattr(wrapper, 'set_stage', lambda stage: None)
    for stage, still in (
        (DISTILLATION, model.teacher_projection),
        (CUSTOMIZATION, model.student),
        (DISTILLATION, model.teacher_projection),
    ):
        before = digests(still)
        model.train()
        model.set_stage(stage)
        set_stage(stage)
        model.train_step(make_batch(LABELS), wrapper)
        assert digests(still) == before, stage


def test_terms_equal_the_equations():
    model = build_customkd(general_weight=3.0, specific_weight=0.5)
    model.set_stage(DISTILLATION)
    model.eval()  # dropout and BatchNorm off: the forward is a function
    inputs, samples = processed(model)
    losses = model.loss(inputs, samples)

    view = model.student_view
    f_s = model.student.extract_feat(inputs, stage='pre_logits')
    f_t = model.teacher(
        model.teacher.prepare(
            inputs,
            mean=model.data_preprocessor.mean.flatten(),
            std=model.data_preprocessor.std.flatten(),
        )
    ).feature
    h_t, h_s = model.teacher_projection, projection_of(model)
    to = lambda tensor: tensor.detach().double().numpy()  # noqa: E731
    f_s, f_t = to(f_s), to(f_t)
    z = f_s @ to(view.classifier.weight).T + to(view.classifier.bias)
    logp = z - np.log(np.exp(z).sum(1, keepdims=True))
    ce = -np.mean([logp[i, i] for i in range(4)])
    general = np.mean((f_s @ to(h_s.fc.weight).T + to(h_s.fc.bias) - f_t) ** 2)
    custom = f_t @ to(h_t.fc.weight).T + to(h_t.fc.bias)
    specific = np.mean((f_s - custom) ** 2)
    assert losses['loss_ce'].item() == pytest.approx(ce, rel=1e-5)
    assert losses['loss_general'].item() == pytest.approx(
        3 * general, rel=1e-4
    )
    assert losses['loss_specific'].item() == pytest.approx(
        0.5 * specific, rel=1e-4
    )

    model.set_stage(CUSTOMIZATION)
    z_t = custom[:4] @ to(view.classifier.weight).T + to(view.classifier.bias)
    logp = z_t - np.log(np.exp(z_t).sum(1, keepdims=True))
    loss = model.loss(inputs, samples)['loss_customization']
    assert loss.item() == pytest.approx(
        -np.mean([logp[i, i] for i in range(4)]), rel=1e-4
    )


def test_customization_runs_the_live_head_and_never_the_encoder():
    model = build_customkd()
    model.train()
    model.set_stage(CUSTOMIZATION)

    def fail(*_):
        raise AssertionError('the student encoder ran')

    model.student.backbone.register_forward_pre_hook(fail)
    inputs, samples = processed(model)
    first = model.loss(inputs, samples)['loss_customization']
    with torch.no_grad():
        model.student_view.classifier.weight.mul_(-1)
    second = model.loss(inputs, samples)['loss_customization']
    assert not torch.allclose(first, second)
    second.backward()
    assert all(p.grad is None for p in model.student.parameters())
    assert all(
        p.grad is not None for p in model.teacher_projection.parameters()
    )


def test_customized_feature_is_detached():
    model = build_customkd(general_weight=0.0)
    model.train()
    model.set_stage(DISTILLATION)
    losses = model.loss(*processed(model))
    losses['loss_specific'].backward()
    assert all(p.grad is None for p in model.teacher_projection.parameters())
    assert any(p.grad is not None for p in model.student.parameters())


def test_unlabelled_images_reach_both_feature_terms_but_not_ce():
    model = build_customkd()
    model.train()
    model.set_stage(DISTILLATION)
    model.eval()
    inputs, samples = processed(model)
    base = model.loss(inputs, samples)
    changed = inputs.clone()
    changed[4:] = changed[4:].flip(-1) * 0.5
    other = model.loss(changed, samples)
    assert torch.equal(base['loss_ce'], other['loss_ce'])
    for term in ('loss_general', 'loss_specific'):
        assert not torch.allclose(base[term], other[term])


@pytest.mark.parametrize(
    'options, terms',
    [
        (dict(), {'loss_general', 'loss_specific'}),
        (dict(specific_weight=0.0), {'loss_general'}),
        (dict(general_weight=0.0), {'loss_specific'}),
        (
            dict(prediction=dict(type='mmkd_custom.KLDivergence')),
            {'loss_general', 'loss_specific', 'loss_prediction'},
        ),
        (
            dict(
                prediction=dict(type='mmkd_custom.DKD'),
                customization_head='teacher',
            ),
            {'loss_general', 'loss_specific', 'loss_prediction'},
        ),
    ],
)
def test_ablation_switches(options, terms):
    model = build_customkd(**options)
    model.train()
    model.set_stage(DISTILLATION)
    losses = model.loss(*processed(model))
    found = {name for name in losses if name.startswith('loss_')}
    assert found == terms | {'loss_ce'}
    assert all(torch.isfinite(value) for value in losses.values())
    model.parse_losses(losses)[0].backward()


def test_general_only_needs_no_customization_epoch():
    model = build_customkd(specific_weight=0.0)
    assert [s.name for s in model.schedule.stages] == [DISTILLATION]
    assert model.teacher_projection is None


def test_general_only_is_fitnet():
    ours = build_customkd(specific_weight=0.0, general_weight=7.0)
    torch.manual_seed(0)
    fitnet = Distiller(
        student_config(),
        teacher_config(),
        terms=dict(
            general=dict(
                loss=dict(type='mmkd_custom.MSE'),
                on='feature',
                weight=7.0,
            )
        ),
        input_size=IMAGE_SIZE,
        data_preprocessor=copy.deepcopy(ours.data_preprocessor),
    )
    fitnet.student.load_state_dict(ours.student.state_dict())
    projection_of(fitnet).load_state_dict(projection_of(ours).state_dict())
    fitnet._held = ours._held
    for model in (ours, fitnet):
        model.eval()
    a = ours.loss(*processed(ours))
    b = fitnet.loss(*processed(fitnet))
    for term in ('loss_ce', 'loss_general'):
        torch.testing.assert_close(a[term], b[term])


def test_random_teacher_head_takes_the_place_of_the_students():
    model = build_customkd(customization_head='teacher')
    wrapper = optimiser(model)
    head, student = digests(model.teacher_head), digests(model.student)
    steps(model, wrapper, CUSTOMIZATION, LABELS)
    assert digests(model.student) == student
    assert digests(model.teacher_head) != head
    head = digests(model.teacher_head)
    steps(model, wrapper, DISTILLATION, LABELS)
    assert digests(model.teacher_head) == head


def test_dkd_gets_labels_where_there_are_some():
    model = build_customkd(prediction=dict(type='mmkd_custom.DKD'))
    model.set_stage(DISTILLATION)
    model.eval()
    inputs, samples = processed(model)
    seen = []
    model.terms()['prediction'].loss.register_forward_pre_hook(
        lambda _, args: seen.append(args[2])
    )
    model.loss(inputs, samples)
    assert seen[0].tolist() == [0, 1, 2, 3, -1, -1, -1, -1]


@pytest.mark.parametrize('stage', [CUSTOMIZATION, DISTILLATION])
def test_losses_stay_finite_in_float32_under_autocast(stage):
    model = build_customkd(prediction=dict(type='mmkd_custom.KLDivergence'))
    model.train()
    model.set_stage(stage)
    inputs, samples = processed(model)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model.loss(inputs, samples)
    total, _ = model.parse_losses(losses)
    assert total.dtype == torch.float32
    assert torch.isfinite(total)
    total.backward()
    assert all(
        torch.isfinite(p.grad).all()
        for p in model.parameters()
        if p.grad is not None
    )


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(general_weight=-1.0), 'general_weight'),
        (dict(customization_head='both'), 'customization_head'),
        (dict(schedule=dict(customization=1, distillation=0)), 'distillation'),
        (dict(schedule=dict(customization=0, distillation=1)), 'customiz'),
        (dict(schedule=dict(warmup=1)), 'warmup'),
        (dict(projection=dict(type='SpatialConnector')), 'SpatialConnector'),
        (dict(terms=dict(general=dict(loss=dict(type='MSE')))), 'general'),
        (dict(classifier='head.nothing'), 'head.nothing'),
        (dict(classifier='backbone.layer0'), 'backbone.layer0'),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(UserError, match=words):
        build_customkd(**options)


CUSTOMIZED = 'teacher.more.customized'


def test_terms_of_the_customization_stage_train_the_projection():
    term = dict(
        loss=dict(type='MSE'),
        on=(CUSTOMIZED, 'teacher.feature'),
        connector=dict(type='LinearConnector'),
        stage=CUSTOMIZATION,
    )
    model = build_customkd(general_weight=0.0, terms=dict(keep=term))
    wrapper = optimiser(model)
    student = digests(model.student)
    logs = steps(model, wrapper, CUSTOMIZATION, LABELS[:4])
    assert logs['loss_keep'] > 0
    assert digests(model.student) == student
    assert all(p.grad is None for p in model.student.parameters())


@pytest.mark.parametrize(
    'on, stage',
    [
        (('student.feature', CUSTOMIZED), CUSTOMIZATION),
        (('student.feature', 'teacher@strong.more.customized'), DISTILLATION),
    ],
)
def test_places_that_a_stage_does_not_have(on, stage):
    term = dict(loss=dict(type='MSE'), on=on, stage=stage)
    with pytest.raises(UserError, match='terms.wrong.on'):
        build_customkd(terms=dict(wrong=term))


def test_init_cfg_of_a_connector_is_followed():
    constant = dict(type='Constant', layer='Linear', val=0.5)
    model = build_customkd(
        projection=dict(type='LinearConnector', init_cfg=constant)
    )
    model.init_weights()
    for connector in (projection_of(model), model.teacher_projection):
        assert (connector.fc.weight == 0.5).all()


def test_a_stage_must_be_entered():
    model = build_customkd()
    with pytest.raises(UserError, match='StageHook'):
        model.loss(*processed(model))


def test_period():
    model = build_customkd(schedule=dict(customization=2, distillation=3))
    names = [model.schedule(epoch).name for epoch in range(10)]
    assert names == ([CUSTOMIZATION] * 2 + [DISTILLATION] * 3) * 2


def test_prediction_vanishes_where_the_customized_feature_is_the_students():
    model = build_customkd(prediction=dict(type='mmkd_custom.KLDivergence'))
    model.set_stage(DISTILLATION)
    model.eval()
    batch = make_batch(LABELS)
    # One image eight times has one feature, which a projection of bias alone
    # gives whatever the teacher says.
    batch['inputs'] = batch['inputs'][:1].repeat(len(LABELS), 1, 1, 1)
    data = model.data_preprocessor(batch, True)
    with torch.no_grad():
        said = model.student_view.run(data['inputs'])
        feature, logits = said.feature, said.logits
        projection = model.teacher_projection.fc
        projection.weight.zero_()
        projection.bias.copy_(feature[0])
        same = model.loss(**data)
        projection.bias.add_(torch.randn_like(feature[0]))
        other = model.loss(**data)
        classifier = model.student_view.classifier
        z_t = F.linear(projection.bias, classifier.weight, classifier.bias)
    for term in ('loss_prediction', 'loss_specific'):
        assert same[term].item() == pytest.approx(0, abs=1e-6)
    log_t = (z_t.double() / 4).log_softmax(0)
    log_s = (logits[0].double() / 4).log_softmax(0)
    expected = 16 * (log_t.exp() * (log_t - log_s)).sum().item()
    assert expected > 1e-4
    assert other['loss_prediction'].item() == pytest.approx(expected, rel=1e-3)
