"""Distiller: terms from the config, each against a hand computation."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmkd_custom.errors import UserError
from mmkd_custom.models import Distiller
from mmkd_custom.registry import MODELS
from tests.helpers import (
    IMAGE_SIZE,
    NUM_CLASSES,
    digests,
    student_config,
    teacher_config,
)
from tests.helpers import make_batch as raw_batch

LABELS = [0, 1, 2, None, None, None]
ROWS = dict(all=slice(0, 6), labelled=slice(0, 3), unlabelled=slice(3, 6))
HINT = dict(loss=dict(type='MSE'), on='feature')
KD = dict(loss=dict(type='KLDivergence', temperature=2.0), on='logits')
PROBE = dict(
    loss=dict(type='CrossEntropy'),
    on=('probe.logits', 'batch.targets'),
    streams='labelled',
)
PROBED = dict(
    terms=dict(
        probe=PROBE,
        kd=dict(KD, on=('student.logits', 'probe.logits')),
    ),
    networks=dict(probe=dict(type='LinearProbe')),
)


def build(terms, teacher=None, **kwargs):
    torch.manual_seed(0)
    return Distiller(
        student_config(),
        teacher_config(**(teacher or {})),
        terms=terms,
        input_size=IMAGE_SIZE,
        data_preprocessor=dict(
            num_classes=NUM_CLASSES,
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            to_rgb=True,
        ),
        **kwargs,
    )


OWN_HEAD = dict(teacher=dict(num_classes=NUM_CLASSES))


def spread(model):
    """Takes the logits of random networks apart, far from rounding."""
    with torch.no_grad():
        model.student_view.classifier.weight.mul_(50)
        model.teacher.model.get_classifier().weight.mul_(50)
    return model.eval()


def data_of(model, labels=LABELS):
    return model.data_preprocessor(raw_batch(labels), True)


def array(tensor):
    return tensor.detach().double().numpy()


def outputs(model, data):
    """Student feature and logits, teacher feature and logits, as arrays."""
    batch = model.batch(**data)
    student = model.student_view.ask(batch, ('feature', 'logits'))
    teacher = model.teacher.ask(batch, model.teacher.offers)
    return [
        None if t is None else array(t)
        for t in (
            student.feature,
            student.logits,
            teacher.feature,
            teacher.logits,
        )
    ]


def log_softmax(z):
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def cross_entropy(z, labels=LABELS):
    logp = log_softmax(z)
    rows = [i for i, label in enumerate(labels) if label is not None]
    return -np.mean([logp[i, labels[i]] for i in rows])


def divergence(z_s, z_t, temperature=2.0):
    log_s, log_t = (log_softmax(z / temperature) for z in (z_s, z_t))
    kl = (np.exp(log_t) * (log_t - log_s)).sum(1)
    return temperature**2 * kl.mean()


def linear(layer, x):
    return x @ array(layer.weight).T + array(layer.bias)


@pytest.mark.parametrize('streams', list(ROWS))
def test_terms_equal_their_equations(streams):
    model = spread(
        build(
            dict(
                hint=dict(HINT, weight=3.0, streams=streams),
                kd=dict(KD, weight=0.5, streams=streams),
                match=dict(
                    loss=dict(type='MSE'), on='logits', streams=streams
                ),
            ),
            supervised_weight=2.0,
            **OWN_HEAD,
        )
    )
    data = data_of(model)
    f_s, z_s, f_t, z_t = outputs(model, data)
    losses = model.loss(**data)
    rows = ROWS[streams]
    hint = linear(model.terms()['hint'].connector.fc, f_s) - f_t
    expected = dict(
        loss_ce=2 * cross_entropy(z_s),
        loss_hint=3 * np.mean(hint[rows] ** 2),
        loss_kd=0.5 * divergence(z_s[rows], z_t[rows]),
        loss_match=np.mean((z_s[rows] - z_t[rows]) ** 2),
    )
    assert {n for n in losses if n.startswith('loss_')} == set(expected)
    for name, value in expected.items():
        assert value > 0
        assert losses[name].item() == pytest.approx(value, rel=1e-4), name
    hits = [z_t[i].argmax() == LABELS[i] for i in range(3)]
    assert losses['teacher_top1'].item() == pytest.approx(
        100 * np.mean(hits), abs=1e-4
    )


def test_dkd_is_given_the_labels_of_the_rows():
    terms = dict(
        dkd=dict(loss=dict(type='DKD'), on='logits', streams='labelled'),
    )
    model = spread(build(terms, **OWN_HEAD))
    data = data_of(model)
    _, z_s, _, z_t = outputs(model, data)
    rows = ROWS['labelled']
    expected = model.terms()['dkd'].loss(
        torch.from_numpy(z_s[rows]),
        torch.from_numpy(z_t[rows]),
        torch.tensor([0, 1, 2]),
    )
    found = model.loss(**data)['loss_dkd'].item()
    assert found == pytest.approx(expected.item(), rel=1e-4)
    other = model.terms()['dkd'].loss(
        torch.from_numpy(z_s[rows]), torch.from_numpy(z_t[rows])
    )
    assert found != pytest.approx(other.item(), rel=1e-4)


def test_a_stream_that_is_not_in_the_batch_adds_no_term():
    model = build(dict(hint=dict(HINT, streams='unlabelled')))
    losses = model.loss(**data_of(model, [0, 1]))
    assert 'loss_hint' not in losses and 'loss_ce' in losses


def test_the_probe_learns_alone():
    model = build(**PROBED).eval()
    data = data_of(model)
    f_s, z_s, f_t, _ = outputs(model, data)
    losses = model.loss(**data)
    z_p = linear(model.networks['probe'].fc, f_t)
    assert losses['loss_probe'].item() == pytest.approx(
        cross_entropy(z_p), rel=1e-4
    )
    assert losses['loss_kd'].item() == pytest.approx(
        divergence(z_s, z_p), rel=1e-3
    )

    def touched(loss):
        model.zero_grad()
        loss.backward(retain_graph=True)
        return {
            name.split('.')[0]
            for name, p in model.named_parameters()
            if p.grad is not None and p.grad.abs().sum() > 0
        }

    assert touched(losses['loss_probe']) == {'networks'}
    assert touched(losses['loss_kd']) == {'student'}
    assert touched(losses['loss_ce']) == {'student'}
    assert all(p.grad is None for p in model.teacher.parameters())


def test_one_step_moves_student_connector_and_probe():
    model = build(
        dict(PROBED['terms'], hint=HINT), networks=PROBED['networks']
    )
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor='StagedOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=0.1),
        ),
    )
    model.train()
    before, teacher = digests(model), model.teacher.digest()
    logs = model.train_step(raw_batch(LABELS), wrapper)
    after = digests(model)
    assert {
        'loss',
        'loss_ce',
        'loss_kd',
        'loss_hint',
        'loss_probe',
        'teacher_top1',
    } <= set(logs)
    moved = {n.split('.')[0] for n in before if before[n] != after[n]}
    assert moved == {'student', 'distillation_terms', 'networks'}
    assert model.teacher.digest() == teacher


@pytest.mark.parametrize('name', ['soft_target', 'fitnet'])
def test_shipped_methods_build_and_train(repo, name):
    path = repo / 'configs' / '_base_' / 'methods' / f'{name}.py'
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            Config.fromfile(str(path)).method,
            student=student_config(),
            teacher=teacher_config(),
            input_size=IMAGE_SIZE,
        )
    )
    assert type(model) is Distiller
    model.train()
    losses = model.loss(**data_of(model))
    terms = dict(
        soft_target={'loss_ce', 'loss_probe', 'loss_kd'},
        fitnet={'loss_ce', 'loss_hint'},
    )
    assert {n for n in losses if n.startswith('loss_')} == terms[name]
    model.parse_losses(losses)[0].backward()
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all()
        for p in model.parameters()
    )


def test_a_term_of_weight_zero_is_zero():
    model = build(dict(hint=dict(HINT, weight=0)))
    losses = model.loss(**data_of(model))
    assert losses['loss_hint'].item() == 0


@pytest.mark.parametrize('supervised', [-1, float('nan')])
def test_the_weight_of_the_students_own_loss_is_checked(supervised):
    with pytest.raises(UserError, match='supervised_weight'):
        build(dict(hint=HINT), supervised_weight=supervised)


def test_without_labels_or_teacher():
    free = build(dict(hint=HINT), supervised_weight=0)
    losses = free.loss(**data_of(free, [None, None]))
    assert 'loss_hint' in losses and 'loss_ce' not in losses
    model = build(dict(hint=HINT))
    with pytest.raises(UserError, match='labelled'):
        model.loss(**data_of(model, [None, None]))
    alone = Distiller(student_config(), input_size=IMAGE_SIZE)
    losses = alone.loss(**data_of(alone, [0, 1]))
    assert alone.teacher is None and set(losses) == {'loss_ce', 'time_student'}


def test_logits_that_the_teacher_does_not_have():
    for classes in (0, 7):
        with pytest.raises(UserError, match='terms.kd') as error:
            build(dict(kd=KD), dict(num_classes=classes))
        assert ('LinearProbe' if classes == 0 else '(7,)') in str(error.value)
    # Neither a probe nor a feature term needs them.
    model = build(dict(hint=HINT), dict(num_classes=7))
    assert 'teacher_top1' not in model.loss(**data_of(model))


@pytest.mark.parametrize(
    'terms, network, classes, whose',
    [
        # Of a source model's classes, and of a head of the student's own.
        (
            dict(kd=dict(KD, on=('net.logits', 'teacher.logits'))),
            dict(type='StudentHead', like='teacher.logits'),
            7,
            None,
        ),
        (
            dict(kd=dict(KD, on=('student.logits', 'net.logits'))),
            dict(type='StudentHead'),
            NUM_CLASSES,
            None,
        ),
        # The first that is a teacher's.
        (
            dict(
                own=dict(KD, on=('student.logits', 'net.logits')),
                kd=KD,
            ),
            dict(type='StudentHead'),
            NUM_CLASSES,
            'teacher',
        ),
        (
            dict(kd=dict(KD, on=('student.logits', 'net.logits'))),
            dict(type='AveragedStudent'),
            NUM_CLASSES,
            'net',
        ),
    ],
)
def test_top1_is_of_a_teacher_of_the_task(terms, network, classes, whose):
    model = build(
        terms, dict(num_classes=classes), networks=dict(net=network)
    ).eval()
    seen, usual = [], model.loss_distillation
    model.loss_distillation = lambda batch: seen.append(batch) or usual(batch)
    losses = model.loss(**data_of(model))
    assert ('teacher_top1' in losses) == (whose is not None)
    if whose is not None:
        found = seen[0].outputs[whose].logits[:3].argmax(1).tolist()
        hits = np.mean([a == b for a, b in zip(found, LABELS)])
        assert losses['teacher_top1'].item() == pytest.approx(100 * hits)


def test_what_a_stage_looks_at():
    model = build(
        dict(
            strong=dict(
                loss=dict(type='KLDivergence'),
                on=('student@strong.logits', 'student.logits'),
                streams='unlabelled',
            ),
            **PROBED['terms'],
        ),
        networks=PROBED['networks'],
    )
    assert list(model.wants('distillation').items()) == [
        ('teacher', ('feature',)),
        ('student@strong', ('logits',)),
        ('student', ('logits',)),
        ('probe', ('logits',)),
    ]
    assert model.asked('teacher') == ('feature',)
    assert model.images('distillation') == ('strong', 'student', 'teacher')
    known = model.images('distillation', recalled=('teacher',))
    assert known == ('strong', 'student')
    data = data_of(model)
    strong = model.data_preprocessor(raw_batch(LABELS, seed=1), True)['inputs']
    losses = model.eval().loss(**data, views=dict(strong=strong))
    z_s, z_w = (
        array(model.student_view.run(images).logits)[ROWS['unlabelled']]
        for images in (strong, data['inputs'])
    )
    assert losses['loss_strong'].item() == pytest.approx(
        divergence(z_s, z_w, 4.0), rel=1e-3
    )
    with pytest.raises(UserError, match='strong'):
        model.loss(**data)


@pytest.mark.parametrize('name', ['student', 'batch', 'teacher', 'keys'])
def test_names_that_no_network_can_have(name):
    with pytest.raises(UserError, match=f'networks: .*{name}'):
        build(dict(hint=HINT), networks={name: dict(type='LinearProbe')})
