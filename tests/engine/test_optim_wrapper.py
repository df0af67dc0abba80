"""Each stage's optimiser has that stage's parameters, and nothing else."""

import copy
import io

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmkd_custom.errors import UserError
from mmkd_custom.stages import (
    CUSTOMIZATION,
    DISTILLATION,
    Stage,
    StageSchedule,
)
from tests.helpers import (
    build_customkd,
    digests,
    make_batch,
    student_config,
)

LABELS = [0, 1, None, None]


@pytest.fixture(autouse=True)
def default_scope():
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        yield


def build(model, **options):
    config = dict(
        type='OptimWrapper',
        constructor='StagedOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1),
    )
    config.update(options)
    return build_optim_wrapper(model, config)


def parameters(wrapper, stage):
    """Ids of the parameters of a stage's optimiser, with repetitions."""
    groups = wrapper[stage].optimizer.param_groups
    return sorted(id(p) for group in groups for p in group['params'])


def ids(*modules):
    return sorted(id(p) for module in modules for p in module.parameters())


def rates(wrapper, stage):
    """Parameter id to learning rate."""
    return {
        id(p): group['lr']
        for group in wrapper[stage].optimizer.param_groups
        for p in group['params']
    }


@pytest.mark.parametrize('head', ['student', 'teacher'])
def test_each_stage_has_exactly_its_parameters(head):
    model = build_customkd(customization_head=head)
    wrapper = build(model)
    customization = [model.teacher_projection]
    if head == 'teacher':
        customization.append(model.teacher_head)
    assert set(wrapper.keys()) == {CUSTOMIZATION, DISTILLATION}
    first = parameters(wrapper, CUSTOMIZATION)
    second = parameters(wrapper, DISTILLATION)
    assert first == ids(*customization)
    assert second == ids(model.student, model.distillation_terms)
    assert sorted(first + second) == ids(model)


def test_a_wrapped_model_is_looked_into():
    model = build_customkd()
    wrapper = build(torch.nn.DataParallel(model))
    assert parameters(wrapper, CUSTOMIZATION) == ids(model.teacher_projection)


def test_an_entry_of_stages_changes_that_stage_only():
    model = build_customkd()
    wrapper = build(
        model,
        clip_grad=dict(max_norm=2.0),
        stages=dict(
            customization=dict(
                optimizer=dict(type='SGD', lr=0.5, momentum=0.9)
            )
        ),
    )
    first = wrapper[CUSTOMIZATION]
    second = wrapper[DISTILLATION]
    assert type(first.optimizer) is torch.optim.SGD
    assert type(second.optimizer) is torch.optim.AdamW
    assert set(rates(wrapper, CUSTOMIZATION).values()) == {0.5}
    assert set(rates(wrapper, DISTILLATION).values()) == {1e-2}
    assert first.optimizer.param_groups[0]['momentum'] == 0.9
    assert first.clip_grad_kwargs == second.clip_grad_kwargs
    # One step of SGD by hand: the weights move by the rate of their stage.
    wrapper.set_stage(CUSTOMIZATION)
    weight = model.teacher_projection.fc.weight
    before = weight.detach().clone()
    wrapper.update_params(weight.mean())
    torch.testing.assert_close(
        before - weight.detach(),
        torch.full_like(weight, 0.5 / weight.numel()),
        rtol=1e-2,
        atol=1e-8,
    )


@pytest.mark.parametrize('per_stage', [False, True])
def test_custom_keys_multiply_the_rate(per_stage):
    model = build_customkd()
    paramwise = dict(
        custom_keys={
            'student.backbone': dict(lr_mult=0.1),
            'teacher_projection': dict(lr_mult=3.0),
        }
    )
    if per_stage:
        stages = dict(distillation=dict(paramwise_cfg=paramwise))
        wrapper = build(model, stages=stages)
    else:
        wrapper = build(model, paramwise_cfg=paramwise)
    found = rates(wrapper, DISTILLATION)
    backbone = set(ids(model.student.backbone))
    assert len(found) > len(backbone) > 0
    for parameter, rate in found.items():
        expected = 1e-3 if parameter in backbone else 1e-2
        assert rate == pytest.approx(expected)
    for rate in rates(wrapper, CUSTOMIZATION).values():
        assert rate == pytest.approx(1e-2 if per_stage else 3e-2)


def train(model, wrapper, stages, seed):
    for i, stage in enumerate(stages):
        torch.manual_seed(seed + i)
        model.train()
        model.set_stage(stage)
        wrapper.set_stage(stage)
        model.train_step(make_batch(LABELS, seed=seed + i), wrapper)


def test_state_dict_round_trip_continues_bit_for_bit():
    model = build_customkd()
    wrapper = build(model)
    train(model, wrapper, [CUSTOMIZATION, DISTILLATION, DISTILLATION], 0)
    file = io.BytesIO()
    torch.save(wrapper.state_dict(), file)
    file.seek(0)
    twin, bare = copy.deepcopy(model), copy.deepcopy(model)
    restored = build(twin)
    restored.load_state_dict(torch.load(file, weights_only=True))
    stages = [DISTILLATION, CUSTOMIZATION]
    train(model, wrapper, stages, 10)
    train(twin, restored, stages, 10)
    assert digests(twin) == digests(model)
    # Fresh moments lead elsewhere: the state is what made them equal.
    train(bare, build(bare), stages, 10)
    other = digests(bare)
    for name in ('teacher_projection.fc.weight', 'student.head.layers.0.fc'):
        keys = [key for key in other if key.startswith(name)]
        assert keys
        assert all(other[key] != digests(model)[key] for key in keys)


def test_no_stage_entered_is_refused():
    model = build_customkd()
    wrapper = build(model)
    loss = model.teacher_projection.fc.weight.sum()
    for call in (
        lambda: wrapper.update_params(loss),
        lambda: wrapper.backward(loss),
        lambda: wrapper.step(),
        lambda: wrapper.optim_context(model).__enter__(),
    ):
        with pytest.raises(UserError, match='StageHook'):
            call()


def test_a_single_stage_needs_no_entering():
    model = build_customkd(specific_weight=0.0)
    # The shipped schedules name a stage that this ablation does not have.
    wrapper = build(
        model,
        stages=dict(customization=dict(optimizer=dict(type='SGD', lr=1.0))),
    )
    assert list(wrapper.keys()) == [DISTILLATION]
    assert wrapper.active is wrapper[DISTILLATION]


@pytest.mark.parametrize(
    'wrong, named',
    [
        (lambda: build(build_customkd()).set_stage('warmup'), 'warmup'),
        (
            lambda: build(
                build_customkd(),
                stages=dict(other=dict(optimizer=dict(type='SGD', lr=1.0))),
            ),
            'other',
        ),
        (lambda: build(torch.nn.Linear(2, 2)), 'Linear'),
    ],
)
def test_unknown_stages_are_named(wrong, named):
    with pytest.raises(UserError, match=named):
        wrong()


def counted(epoch, max_epochs, length, accumulative_counts, updates):
    """Numbers of the updates that stepped, and the gradients they used."""
    model = build_customkd()
    wrapper = build(
        model,
        accumulative_counts=accumulative_counts,
        optimizer=dict(type='SGD', lr=0.1),
    )
    schedule = StageSchedule([Stage(CUSTOMIZATION), Stage(DISTILLATION, 2)])
    wrapper.start_counting(model, schedule, epoch, max_epochs, length)
    wrapper.set_stage(CUSTOMIZATION)
    weight = model.teacher_projection.fc.bias
    stepped = []
    wrapper.active.optimizer.register_step_pre_hook(
        lambda *_: stepped.append((number, weight.grad.mean().item()))
    )
    for number in range(1, updates + 1):
        wrapper.update_params(weight.sum())
    return stepped


def test_counting_ends_with_the_stages_own_last_iteration():
    # Customization has epochs 0 and 3 of 5: 2 x 4 iterations, three windows,
    # of which the last is of two. Each averages gradients of 1.
    stepped = counted(0, 5, 4, 3, updates=8)
    assert [number for number, _ in stepped] == [3, 6, 8]
    for _, gradient in stepped:
        assert gradient == pytest.approx(1.0)


def test_a_resumed_run_continues_the_count_of_the_stage():
    # Before epoch 2 customization had one epoch of 6 iterations: the second
    # update from here is its eighth.
    stepped = counted(2, 5, 6, 4, updates=6)
    assert [number for number, _ in stepped] == [2, 6]


def run(model, wrapper, work_dir, hook, length=2, **options):
    """Trains four epochs, two of each stage, in MMEngine's runner."""
    batches = [make_batch(LABELS, seed=i) for i in range(length)]
    runner = Runner(
        model,
        work_dir=str(work_dir),
        train_dataloader=DataLoader(batches, collate_fn=lambda one: one[0]),
        train_cfg=dict(by_epoch=True, max_epochs=4),
        optim_wrapper=wrapper,
        default_hooks=dict(checkpoint=None),
        custom_hooks=[dict(type='StageHook')],
        default_scope='mmkd_custom',
        experiment_name=work_dir.name,
        log_level='ERROR',
        **options,
    )
    runner.register_hook(hook)
    runner.train()


class Rates(Hook):
    """Notes the learning rate of each stage at every iteration."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, *_, **__):
        wrapper = runner.optim_wrapper
        self.seen.append(
            [set(rates(wrapper, stage).values()) for stage in wrapper.keys()]
        )


@pytest.mark.parametrize('by_epoch', [True, False])
def test_schedulers_reach_both_stages_in_every_epoch(tmp_path, by_epoch):
    model = build_customkd()
    stages = dict(customization=dict(optimizer=dict(type='SGD', lr=0.5)))
    wrapper = build(model, stages=stages)
    hook = Rates()
    scheduler = dict(type='ExponentialLR', gamma=0.5, by_epoch=by_epoch)
    run(model, wrapper, tmp_path, hook, param_scheduler=[scheduler])
    assert len(hook.seen) == 8
    for number, (first, second) in enumerate(hook.seen):
        factor = 0.5 ** (number // 2 if by_epoch else number)
        assert list(first) == pytest.approx([0.5 * factor])
        assert list(second) == pytest.approx([1e-2 * factor])


def test_a_stage_steps_once_per_accumulated_iterations(tmp_path):
    model = build_customkd()
    wrapper = build(model, accumulative_counts=3)
    steps = []

    class Count(Hook):
        def before_train(self, runner):
            for name, each in wrapper.items():
                each.optimizer.register_step_post_hook(
                    lambda *_, name=name: steps.append((name, runner.iter))
                )

    run(model, wrapper, tmp_path, Count(), length=6)
    stages = [CUSTOMIZATION, DISTILLATION] * 2
    assert steps == [
        (stage, 6 * epoch + last)
        for epoch, stage in enumerate(stages)
        for last in (2, 5)
    ]


def test_the_accumulated_gradient_is_the_mean_of_the_parts():
    student = student_config()
    student['head']['dropout_rate'] = 0.0
    model = build_customkd(student=student)
    wrapper = build(
        model, accumulative_counts=2, optimizer=dict(type='SGD', lr=0.1)
    )
    wrapper.start_counting(model, model.schedule, 0, 2, 2)
    model.train()
    model.set_stage(DISTILLATION)
    wrapper.set_stage(DISTILLATION)
    parameters = [
        *model.student.parameters(),
        *model.distillation_terms.parameters(),
    ]
    parts = []
    for seed in (0, 1):
        data = model.data_preprocessor(make_batch(LABELS, seed), True)
        loss, _ = model.parse_losses(model.loss(**data))
        parts.append(torch.autograd.grad(loss, parameters))
    used = []
    wrapper.active.optimizer.register_step_pre_hook(
        lambda *_: used.append([p.grad.clone() for p in parameters])
    )
    for seed in (0, 1):
        assert not used
        model.train_step(make_batch(LABELS, seed), wrapper)
    assert len(used) == 1
    for gradient, first, second in zip(used[0], *parts):
        torch.testing.assert_close(
            gradient, (first + second) / 2, rtol=1e-4, atol=1e-6
        )
