"""A resumed run of another length follows that length's schedule."""

import copy

import mmengine.optim.scheduler as schedulers
import pytest
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmkd_custom.engine.hooks import (
    ResultsHook,
    StageHook,
    StageParamSchedulerHook,
)
from mmkd_custom.engine.optim_wrapper import StagedOptimWrapperConstructor
from mmkd_custom.errors import UserError
from mmkd_custom.stages import Stage, StageSchedule
from mmkd_custom.utils.files import load_checkpoint
from tests.helpers import forget_instances

#: Iterations of an epoch.
LENGTH = 3


class Numbers(Dataset):
    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        return torch.tensor([float(index)])


class Plain(BaseModel):
    """One weight and one bias, in groups of their own where asked."""

    def __init__(self):
        super().__init__()
        self.student = nn.Linear(1, 1)
        self.projection = nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        output = self.student(inputs) + self.projection(inputs)
        return dict(loss=output.square().mean()) if mode == 'loss' else output

    def train_step(self, data, optim_wrapper):
        loss = self(torch.stack(list(data)), mode='loss')['loss']
        optim_wrapper.update_params(loss)
        return dict(loss=loss)

    def val_step(self, data):
        return data


class Staged(Plain):
    """What stages need of a distiller."""

    schedule = StageSchedule([Stage('customization'), Stage('distillation')])
    networks = {}

    def set_stage(self, stage):
        pass

    def after_step(self):
        pass

    def trained_children(self, stage):
        return ['student' if stage == 'distillation' else 'projection']


class Score(BaseMetric):
    """Gets better, then no longer: a function of the epoch."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(score=float(min(self.runner.iter, 2 * LENGTH)))


class Values(Hook):
    """Notes all that is scheduled, in every iteration."""

    priority = 'HIGHEST'

    def __init__(self):
        self.seen = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        wrapper = runner.optim_wrapper
        wrappers = dict(wrapper.items()) if hasattr(wrapper, 'items') else {}
        self.seen[runner.iter] = [
            {k: v for k, v in group.items() if k != 'params'}
            for each in (wrappers.values() or [wrapper])
            for group in each.param_groups
        ]


SGD = dict(type='SGD', lr=0.1, momentum=0.9)


def run(
    folder,
    scheduler,
    length,
    *,
    staged=True,
    own_hook=True,
    by_iter=False,
    optimizer=SGD,
    groups=False,
    resume=None,
):
    """Trains; gives what was scheduled in each iteration."""
    optim_wrapper = dict(optimizer=optimizer)
    if groups:
        optim_wrapper['paramwise_cfg'] = dict(bias_lr_mult=2.0)
    if staged:
        optim_wrapper['constructor'] = StagedOptimWrapperConstructor
    unit = 'iters' if by_iter else 'epochs'
    # Runners made within one second share their name.
    forget_instances()
    model = (Staged if staged else Plain)()
    score = Score()
    hooks = dict(param_scheduler=StageParamSchedulerHook()) if own_hook else {}
    loader = dict(
        batch_size=1,
        dataset=Numbers(),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    runner = Runner(
        model,
        str(folder),
        train_dataloader=loader,
        train_cfg={
            'by_epoch': not by_iter,
            f'max_{unit}': length,
            'val_interval': LENGTH if by_iter else 1,
        },
        optim_wrapper=optim_wrapper,
        param_scheduler=copy.deepcopy(scheduler),
        val_dataloader=copy.deepcopy(loader),
        val_cfg=dict(),
        val_evaluator=[score],
        default_hooks=dict(
            logger=None,
            checkpoint=dict(
                type='CheckpointHook', interval=1, by_epoch=not by_iter
            ),
            **hooks,
        ),
        # ResultsHook makes up for the evaluation of a checkpoint's epoch.
        custom_hooks=[StageHook(), ResultsHook()],
        load_from=resume and str(resume),
        resume=resume is not None,
        cfg=Config(dict(work_dir=str(folder))),
        log_level='ERROR',
    )
    score.runner = runner
    values = Values()
    runner.register_hook(values)
    runner.train()
    return values.seen


ARGUMENTS = dict(
    Constant=dict(factor=0.5, end=3),
    CosineAnnealing=dict(eta_min=1e-3),
    CosineRestart=dict(
        periods=[2, 3], restart_weights=[1, 0.5], eta_min_ratio=0.01
    ),
    Exponential=dict(gamma=0.9),
    Linear=dict(start_factor=0.1),
    MultiStep=dict(milestones=[1, 3], gamma=0.5),
    OneCycle=dict(eta_max=0.2),
    Poly=dict(power=0.9, eta_min=1e-3),
    ReduceOnPlateau=dict(monitor='score', rule='greater', patience=0),
    Step=dict(step_size=2, gamma=0.5),
)
CLASSES = sorted(set(schedulers.__all__) - {'_ParamScheduler'})


def scheduler(name):
    kind = next(k for k in ARGUMENTS if name.startswith(k))
    cfg = dict(ARGUMENTS[kind], type=name)
    if name.endswith('ParamScheduler'):
        cfg['param_name'] = 'lr' if kind == 'OneCycle' else 'weight_decay'
    return cfg


def same(resumed, straight, first):
    assert min(resumed) == first and max(resumed) == max(straight)
    return resumed == {i: straight[i] for i in resumed}


def compare(tmp_path, cfg, old, new, at, **options):
    """Compares a straight run with one stopped, and resumed as long."""
    straight = run(tmp_path / 'straight', cfg, new, **options)
    run(tmp_path / 'short', cfg, old, **options)
    by_iter = options.get('by_iter')
    name = f'iter_{at}.pth' if by_iter else f'epoch_{at}.pth'
    file = tmp_path / 'short' / name
    assert load_checkpoint(file)['param_schedulers']
    resumed = run(tmp_path / 'resumed', cfg, new, resume=file, **options)
    assert same(resumed, straight, at if by_iter else at * LENGTH)
    # The comparison means something.
    first = next(iter(straight.values()))
    assert any(value != first for value in straight.values())


@pytest.mark.parametrize('name', CLASSES)
def test_every_scheduler(tmp_path, name):
    # Every other one counts iterations; what watches a metric cannot.
    converted = CLASSES.index(name) % 2 and not name.startswith('Reduce')
    cfg = dict(scheduler(name), convert_to_iter_based=bool(converted))
    optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.01)
    if name.endswith('Momentum'):
        optimizer = dict(type='Adam', lr=0.1)
    compare(tmp_path, cfg, 4, 7, 3, optimizer=optimizer, groups=not converted)


WARM_UP = [
    dict(type='LinearLR', start_factor=0.1, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=2, convert_to_iter_based=True),
    dict(ARGUMENTS['ReduceOnPlateau'], type='ReduceOnPlateauLR'),
]


@pytest.mark.parametrize(
    'options, old, new, at',
    [
        (dict(), 4, 8, 4),
        (dict(own_hook=False), 8, 5, 3),
        (dict(staged=False, own_hook=False, groups=True), 4, 8, 4),
        (dict(staged=False, optimizer=dict(type='AdamW', lr=0.1)), 8, 5, 3),
    ],
)
def test_chains_longer_and_shorter(tmp_path, options, old, new, at):
    compare(tmp_path, WARM_UP, old, new, at, **options)


@pytest.mark.parametrize('name', ['PolyLR', 'ReduceOnPlateauLR'])
def test_a_loop_by_iterations(tmp_path, name):
    cfg = [dict(scheduler(name))]
    if name == 'PolyLR':
        cfg[0]['by_epoch'] = False
    compare(tmp_path, cfg, 9, 12, 8, staged=False, by_iter=True)


def test_unchanged_length_takes_what_the_checkpoint_says(tmp_path):
    cfg = scheduler('PolyLR')
    straight = run(tmp_path / 'a', cfg, 4)
    file = tmp_path / 'a' / 'epoch_2.pth'
    content = torch.load(file, weights_only=True)
    for state in content['optimizer'].values():
        state['param_groups'][0]['lr'] = 7.0
    torch.save(content, file)
    seen = run(tmp_path / 'b', cfg, 4, resume=file)
    assert seen[2 * LENGTH][0]['lr'] == 7.0
    # One without schedulers is of another length, so to speak.
    del content['param_schedulers']
    torch.save(content, file)
    resumed = run(tmp_path / 'c', cfg, 4, resume=file)
    assert same(resumed, straight, 2 * LENGTH)


def test_lengthened_twice(tmp_path):
    cfg = scheduler('CosineAnnealingLR')
    straight = run(tmp_path / 'straight', cfg, 8)
    file = None
    for length in (2, 5, 8):
        folder = tmp_path / str(length)
        seen = run(folder, cfg, length, resume=file)
        file = folder / f'epoch_{length}.pth'
    assert same(seen, straight, 5 * LENGTH)


@pytest.mark.parametrize('by_iter', [False, True])
def test_length_that_is_reached_already_is_refused(tmp_path, by_iter):
    options = dict(staged=False, by_iter=by_iter)
    length, done = (4 * LENGTH, 3 * LENGTH) if by_iter else (4, 3)
    cfg = dict(type='PolyLR', by_epoch=not by_iter)
    run(tmp_path / 'a', cfg, length, **options)
    file = tmp_path / 'a' / f'{"iter" if by_iter else "epoch"}_{done}.pth'
    with pytest.raises(UserError, match=f'max_.*{done}.*{file.name}'):
        run(tmp_path / 'b', cfg, done, resume=file, **options)


def test_run_without_a_schedule_or_without_an_epoch_left(tmp_path):
    run(tmp_path / 'a', None, 2)
    file = tmp_path / 'a' / 'epoch_2.pth'
    assert len(run(tmp_path / 'b', None, 3, resume=file)) == LENGTH
    file = tmp_path / 'b' / 'epoch_3.pth'
    assert not run(tmp_path / 'c', None, 3, resume=file)
