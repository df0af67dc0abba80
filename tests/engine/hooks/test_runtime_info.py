"""The deferred hook against MMEngine's own, and how often it waits."""

import json
import re
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook, LoggerHook, RuntimeInfoHook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from mmkd_custom.engine.hooks.runtime_info import DeferredRuntimeInfoHook
from mmkd_custom.errors import UserError
from tests.helpers import forget_instances

DEFERRED = dict(type='mmkd_custom.DeferredRuntimeInfoHook')
OWN = dict(type='RuntimeInfoHook')
KINDS = [OWN, DEFERRED]
KIND = DeferredRuntimeInfoHook


class Numbers(Dataset):
    metainfo = dict(classes=('a',))

    def __len__(self):
        return 14

    def __getitem__(self, index):
        return torch.tensor(float(index))


class Terms(BaseModel):
    """Gives terms of every sort, and others in every third step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))
        self.steps = 0

    def forward(self, *data, **_):
        return [dict()]

    def train_step(self, data, optim_wrapper):
        self.steps += 1
        value = self.weight * torch.stack(data).sum() / 3
        optim_wrapper.update_params(value)
        terms = dict(
            loss=value,
            loss_half=value.detach().bfloat16().view(1),
            count=torch.tensor(2**24 + self.steps),
            right=torch.tensor(self.steps % 2 == 0),
            ratio=self.steps / 7,
        )
        if self.steps % 3 == 0:
            terms['loss_rare'] = value.double() / 7
            terms['loss_bad'] = torch.tensor(
                float('inf') if self.steps % 2 else float('nan')
            )
            del terms['loss_half']
        return terms


class Forget(Hook):
    """Drops a history before each epoch, as StageHook does."""

    priority = 'HIGH'

    def before_train_epoch(self, runner):
        runner.message_hub.log_scalars.pop('train/loss', None)


class Readers(Hook):
    """Reads the terms where hooks of users and of MMEngine may."""

    def __init__(self):
        self.found = []

    def _read(self, runner, **_):
        self.found.append(histories(runner.message_hub.log_scalars))

    after_train_epoch = before_val = after_val_epoch = after_train = _read


class Size(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(len(data_batch))

    def compute_metrics(self, results):
        return dict(size=float(sum(results)))


class OtherLogger(LoggerHook):
    """Logs at times that only it knows."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, **_):
        if batch_idx % 5 == 3:
            _, line = runner.log_processor.get_log_after_iter(
                runner, batch_idx, 'train'
            )
            runner.logger.info(line)


def epochs(interval, **logger):
    return dict(
        train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=2),
        logger=dict(type='LoggerHook', interval=interval, **logger),
        checkpoint=dict(type='CheckpointHook', interval=1),
    )


def iterations(interval):
    return dict(
        train_cfg=dict(by_epoch=False, max_iters=12, val_interval=5),
        logger=dict(type='LoggerHook', interval=interval),
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4),
        log_processor=dict(by_epoch=False),
    )


RUNS = dict(
    interval_divides=epochs(7),
    ignored_end=epochs(3),
    logged_end=epochs(3, ignore_last=False),
    end_only=epochs(1000),
    iterations=iterations(3),
    iterations_unlogged=iterations(1000),
    # Nothing but the end hands the last iteration over.
    iterations_alone=dict(
        iterations(5),
        train_cfg=dict(by_epoch=False, max_iters=11),
        checkpoint=dict(
            type='CheckpointHook', by_epoch=False, interval=4, save_last=False
        ),
        validate=False,
    ),
    no_logger=dict(epochs(3), logger=None),
    other_rules=dict(epochs(3), logger=dict(type=OtherLogger)),
)


UNLOGGED = ('iterations_unlogged', 'no_logger')


def run(
    path,
    kind,
    train_cfg,
    logger,
    checkpoint,
    log_processor=None,
    validate=True,
):
    forget_instances()
    torch.manual_seed(0)
    loader = dict(
        dataset=Numbers(),
        sampler=dict(type='DefaultSampler', shuffle=False),
        batch_size=2,
    )
    runner = Runner(
        model=Terms(),
        work_dir=str(path),
        train_dataloader=loader,
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
        val_dataloader=loader if validate else None,
        val_cfg=dict() if validate else None,
        val_evaluator=Evaluator(Size()) if validate else None,
        default_hooks=dict(
            runtime_info=kind, logger=logger, checkpoint=checkpoint
        ),
        custom_hooks=[Forget(), Readers()],
        log_processor=log_processor,
        default_scope='mmkd_custom',
        visualizer=dict(
            type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]
        ),
        experiment_name='run',
        randomness=dict(seed=0),
    )
    runner.train()
    return runner


def without_times(text):
    return re.sub(r'(time\w*|eta): \S+', '', text)


def histories(scalars):
    """Names in order, values bit for bit; how many of a measured time."""
    found = []
    for name, buffer in scalars.items():
        values, counts = buffer.data
        measured = 'time' in name
        found.append(
            (
                name,
                values.dtype,
                len(values) if measured else values.tobytes(),
                counts.tobytes(),
            )
        )
    return found


def left_behind(runner):
    """Lines logged, and scalars written, of a run."""
    folder = Path(runner.log_dir)
    log = next(folder.glob('*.log')).read_text()
    lines = [
        without_times(line.split(' - ', 3)[-1])
        for line in log.splitlines()
        if 'Epoch(' in line or 'Iter(' in line
    ]
    written = [path.read_text() for path in folder.rglob('scalars.json')]
    scalars = [
        {k: v for k, v in json.loads(line).items() if 'time' not in k}
        for text in written
        for line in text.splitlines()
    ]
    # As text: NaN equals itself there, and the order of terms counts.
    return lines, json.dumps(scalars)


def saved(runner):
    found = {}
    for path in sorted(Path(runner.work_dir).glob('*_[0-9]*.pth')):
        hub = torch.load(path, weights_only=False)['message_hub']
        found[path.name] = (
            histories(hub['log_scalars']),
            hub['resumed_keys'],
            sorted(hub['runtime_info']),
        )
    return found


@pytest.mark.parametrize('name', RUNS)
def test_everything_is_as_with_mmengines_own(tmp_path, monkeypatch, name):
    # MMEngine's loop by iterations sleeps before it starts its data again.
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    own, deferred = (
        run(tmp_path / kind['type'], kind, **RUNS[name]) for kind in KINDS
    )
    results = [
        (
            histories(r.message_hub.log_scalars),
            *left_behind(r),
            saved(r),
            hook_of(r, Readers).found,
        )
        for r in (own, deferred)
    ]
    for mine, theirs in zip(*results):
        assert mine == theirs
    _, lines, _, checkpoints, found = results[0]
    assert len(checkpoints) >= 2 and len(found) >= 2
    assert lines or name in UNLOGGED
    assert isinstance(hook_of(deferred, RuntimeInfoHook), KIND)


def hook_of(runner, kind):
    return next(hook for hook in runner.hooks if isinstance(hook, kind))


def fake_runner(*loggers, length=25):
    return SimpleNamespace(
        message_hub=MessageHub('test_runtime_info'),
        hooks=[LoggerHook(interval=i) for i in loggers],
        train_dataloader=range(length),
    )


@pytest.fixture
def reads(monkeypatch):
    """Counts what has the host wait for a device."""
    seen = []
    names = ('item', 'tolist', 'numpy', 'cpu', '__float__', '__int__')
    for name in (*names, '__bool__', '__index__', '__array__'):
        usual = getattr(torch.Tensor, name)

        def watch(self, *args, usual=usual, name=name, **kwargs):
            seen.append(name)
            return usual(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, watch)
    return seen


def terms(i):
    return {f'loss_{k}': torch.tensor(float(i + k)) for k in range(6)}


@pytest.mark.parametrize(
    'loggers, max_kept, wanted',
    [
        # The first iteration brings new terms, the 25th ends the epoch.
        ((10,), 100, [0, 9, 19, 24]),
        ((1000,), 100, [0, 24]),
        ((1000,), 7, [0, 7, 14, 21, 24]),
        ((), 100, [0, 24]),
        ((6, 10), 100, [0, 5, 9, 11, 17, 19, 23, 24]),
    ],
)
def test_one_read_for_many_iterations(reads, loggers, max_kept, wanted):
    runner = fake_runner(*loggers)
    hook, waited = KIND(max_kept), []
    for i in range(25):
        hook.after_train_iter(runner, i, outputs=terms(i))
        if reads:
            waited.append(i)
            assert reads == ['tolist']
            reads.clear()
    assert waited == wanted
    for k in range(6):
        values, counts = runner.message_hub.get_scalar(f'train/loss_{k}').data
        assert values.tolist() == [i + k for i in range(25)]
        assert counts.tolist() == [1] * 25


def test_mmengines_own_waits_for_each_term(reads):
    # What the count above would be without the hook.
    runner = fake_runner(10)
    for i in range(25):
        RuntimeInfoHook().after_train_iter(runner, i, outputs=terms(i))
    assert len(reads) == 6 * 25


def test_kept_values_are_those_of_their_iteration():
    runner, hook = fake_runner(5), KIND()
    buffer = torch.zeros(())
    for i in range(5):
        buffer.fill_(i)
        hook.after_train_iter(runner, i, outputs=dict(loss=buffer))
    values, _ = runner.message_hub.get_scalar('train/loss').data
    assert values.tolist() == [0, 1, 2, 3, 4]


def test_nothing_holds_the_graph():
    runner, hook = fake_runner(1000), KIND()
    weight = torch.ones((), requires_grad=True)
    hook.after_train_iter(runner, 0, outputs=dict(loss=weight))
    loss, part = weight * 2, Hook()
    loss.grad_fn.metadata['part'] = part
    graph = weakref.ref(part)
    hook.after_train_iter(runner, 1, outputs=dict(loss=loss))
    assert graph() is part
    del loss, part
    assert graph() is None


@pytest.mark.parametrize('value', [torch.zeros(2), np.zeros(2), 'high'])
def test_what_is_no_scalar_is_refused_when_it_comes(value):
    runner, hook = fake_runner(1000), KIND()
    hook.after_train_iter(runner, 0, outputs=dict(loss=1.0))
    with pytest.raises(AssertionError):
        hook.after_train_iter(runner, 1, outputs=dict(loss=value))


def test_an_array_is_read_before_it_changes():
    runner, hook = fake_runner(1000), KIND()
    array = np.zeros(1)
    for i in range(3):
        array[0] = i
        hook.after_train_iter(runner, i, outputs=dict(loss=array))
    values, _ = runner.message_hub.get_scalar('train/loss').data
    assert values.tolist() == [0, 1, 2]


def test_an_aborted_training_leaves_nothing():
    runner, hook = fake_runner(1000), KIND()
    for i in range(3):
        hook.after_train_iter(runner, i, outputs=dict(loss=torch.ones(())))
    runner.epoch = runner.iter = runner.max_epochs = runner.max_iters = 0
    runner.train_dataloader = DataLoader(Numbers())
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, outputs=dict(loss=torch.tensor(5.0)))
    hook.hand_over(runner)
    values, _ = runner.message_hub.get_scalar('train/loss').data
    assert values.tolist() == [1, 5]


@pytest.mark.parametrize('max_kept', [0, -1, 2.0, True, '9'])
def test_a_bound_that_is_none_is_refused(max_kept):
    with pytest.raises(UserError, match='max_kept=.* whole number >= 1'):
        KIND(max_kept)


@pytest.mark.slow
def test_a_run_in_stages_is_as_with_mmengines_own(small_runner):
    results = []
    for kind in KINDS:

        def edit(config, kind=kind):
            config.default_hooks.logger.interval = 2
            config.default_hooks.runtime_info = kind

        runner = small_runner(kind['type'], epochs=4, edit=edit)
        runner.train()
        results.append(
            (
                histories(runner.message_hub.log_scalars),
                *left_behind(runner),
                saved(runner),
            )
        )
    for mine, theirs in zip(*results):
        assert mine == theirs
    assert 'train/loss_general' in [name for name, *_ in results[0][0]]
