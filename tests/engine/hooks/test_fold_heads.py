"""Heads folded into the student's last layer at the end of a run."""

import json

import pytest
import torch

from mmkd_custom.engine.hooks.fold_heads import FoldHeadsHook
from mmkd_custom.errors import UserError
from mmkd_custom.export.checkpoint import load_student
from mmkd_custom.models import Distiller
from mmkd_custom.utils.files import load_checkpoint
from tests.helpers import IMAGE_SIZE, make_batch, student_config

KD = dict(weight=0.5, temperature=0.5)


def build(**networks):
    torch.manual_seed(0)
    return Distiller(
        student_config(),
        networks=networks or dict(kd=dict(type='StudentHead')),
        input_size=IMAGE_SIZE,
        data_preprocessor=dict(num_classes=5),
    ).eval()


def logits_of(model, name=None):
    inputs = model.data_preprocessor(make_batch([0, 1, 2]), False)['inputs']
    said = model.student_view.run(inputs)
    return (
        said.logits
        if name is None
        else (model.networks[name].fc(said.feature))
    )


class Runner:
    """What a hook asks of a runner before training."""

    def __init__(self, model):
        self.model = model


@torch.no_grad()
def test_the_fold_is_the_mean_of_logits():
    model = build()
    own, kd = logits_of(model), logits_of(model, 'kd')
    FoldHeadsHook(dict(kd=KD)).fold(model)
    torch.testing.assert_close(logits_of(model), 0.5 * own + 0.5 * kd / 0.5)


def test_dhos_numbers():
    model = build()
    layer, head = model.student_view.classifier, model.networks['kd'].fc
    for each, bias in ((layer, (2.0, 0)), (head, (0.0, 2))):
        torch.nn.init.zeros_(each.weight)
        each.bias.data = torch.tensor([*bias, -99, -99, -99])
    own, kd = logits_of(model)[0], logits_of(model, 'kd')[0]
    # What DHO says at inference, and no linear layer does.
    mixture = 0.5 * own.softmax(0) + 0.5 * (kd / 0.5).softmax(0)
    assert mixture[:2].tolist() == pytest.approx([0.44939, 0.55061], abs=1e-5)
    FoldHeadsHook(dict(kd=KD)).fold(model)
    found = logits_of(model)[0].softmax(0)
    assert found[:2].tolist() == pytest.approx([0.268941, 0.731059], abs=1e-5)


@torch.no_grad()
def test_experts_of_mdcs_are_a_mean_of_three():
    names = 'few', 'many'
    model = build(**{name: dict(type='StudentHead') for name in names})
    said = [logits_of(model, name) for name in (None, *names)]
    FoldHeadsHook({name: 1 / 3 for name in names}).fold(model)
    torch.testing.assert_close(
        logits_of(model), torch.stack(said).mean(0), atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(heads=dict(kd=0.5), pooling='probabilities'), ['pooling']),
        (dict(heads=dict(kd=0.5), pooling='votes'), ['pooling', 'votes']),
        (dict(heads={}), ['heads']),
        (dict(heads=['kd']), ['heads']),
        (dict(heads=dict(kd=1.5)), ['heads.kd.weight', '1.5']),
        (dict(heads=dict(kd=dict(KD, beta=1))), ['heads.kd', 'beta']),
        (
            dict(heads=dict(kd=dict(KD, temperature=0))),
            ['heads.kd.temperature', '0'],
        ),
        (dict(heads=dict(a=0.6, b=0.6)), ['heads', '0.6']),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(UserError) as error:
        FoldHeadsHook(**options)
    for word in ('FoldHeadsHook', *words):
        assert word in str(error.value)


@pytest.mark.parametrize(
    'name, words',
    [
        ('kb', ['kb', 'kd']),
        ('exits', ['StageExits', 'StudentHead']),
        ('other', ['student.feature', 'classes']),
    ],
)
def test_heads_that_are_not_one_classifier_are_refused(name, words):
    model = build(
        kd=dict(type='StudentHead'),
        exits=dict(type='StageExits', stages=(0,)),
        other=dict(type='StudentHead', of='kd.logits'),
    )
    with pytest.raises(UserError) as error:
        FoldHeadsHook({name: 0.5}).before_train(Runner(model))
    for word in ('FoldHeadsHook.heads', *words):
        assert word in str(error.value)
    with pytest.raises(UserError, match='distiller'):
        FoldHeadsHook(dict(kd=0.5)).before_train(Runner(model.student))


def heads(config, *hooks, names=('kd',)):
    """Has a small soft-target config end with folded heads."""
    config.model = dict(
        type='Distiller',
        student=config.model.student,
        teacher=dict(config.model.teacher.teacher, num_classes=3),
        input_size=config.model.input_size,
        networks={name: dict(type='StudentHead') for name in names},
        terms={
            name: dict(
                loss=dict(type='KLDivergence'),
                on=(f'{name}.logits', 'teacher.logits'),
            )
            for name in names
        },
    )
    share = 1 / (1 + len(names))
    config.custom_hooks.extend(
        [
            dict(type='FoldHeadsHook', heads=dict.fromkeys(names, share)),
            *hooks,
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize('case', ['dho', 'dho_averaged', 'mdcs'])
def test_what_is_evaluated_is_what_is_exported(
    case, small_runner, tmp_path, monkeypatch
):
    names = ('many', 'few') if case == 'mdcs' else ('kd',)
    hooks = [dict(type='StudentEMAHook')] if 'averaged' in case else []
    means, fold = [], FoldHeadsHook.fold

    def noted(hook, model):
        layers = [model.student_view.classifier]
        layers += [model.networks[name].fc for name in names]
        means.append(torch.stack([each.weight for each in layers]).mean(0))
        fold(hook, model)

    monkeypatch.setattr(FoldHeadsHook, 'fold', noted)
    runner = small_runner(
        edit=lambda config: heads(config, *hooks, names=names),
        validate=True,
        epochs=2,
    )
    runner.train()
    # The student that is trained and, if there is one, its average.
    assert len(means) == 1 + len(hooks)
    # A plain classifier that MMPretrain builds without this package.
    work = tmp_path / 'work'
    student = load_student(work, work / 'student.pth').model
    assert type(student).__module__.startswith('mmpretrain')
    state = load_checkpoint(work / 'student.pth')['state_dict']
    assert set(state) == set(student.state_dict())
    name = runner.model.student_view.split.classifier
    torch.testing.assert_close(state[f'{name}.weight'], means[-1])
    kept = load_checkpoint(work / 'epoch_2.pth')['state_dict']
    assert torch.equal(kept[f'student.{name}.weight'], state[f'{name}.weight'])
    # It is right as often as the last evaluation says.
    last = json.loads((work / 'results.json').read_text())['last']
    right = total = 0
    for batch in runner.val_loop.dataloader:
        data = runner.model.data_preprocessor(batch, False)
        with torch.no_grad():
            said = student.cpu()(data['inputs'], mode='tensor').argmax(1)
        labels = torch.cat([s.gt_label for s in data['data_samples']])
        right += int((said == labels).sum())
        total += len(labels)
    assert last['accuracy/top1'] == pytest.approx(
        100 * right / total, abs=1e-3
    )
