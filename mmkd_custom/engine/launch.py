"""What the command-line tools call: train and test."""

from __future__ import annotations

import copy
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence, Union
from urllib.error import URLError

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.evaluator import DumpResults
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..datasets.wrappers import pipeline_of, with_pipeline
from ..errors import UserError, naming_files
from ..export.checkpoint import PREFIX
from ..utils.allocator import keep_freed_memory
from ..utils.files import load_checkpoint
from ..utils.progress import no_bar_left, progress
from ..utils.runs import check_work_dir
from .building import naming_misspelt
from .checkpoint import StorableHook
from .console import ConsoleRunner
from .hooks import ClassesHook, FiniteLossHook, ProgressHook
from .hooks.results import OverwriteHook
from .hooks.resumed_schedule import ResumedScheduleHook
from .unwrap import ensure_hook


def train(
    config: Config, lines: bool = False, hooks: Sequence[Hook] = ()
) -> Dict[str, float]:
    """Trains what a prepared config describes.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.prepare`.
        lines (bool): Whether its ``ProgressHook`` tells how far it is in
            lines where there is no terminal, for a run whose log goes to a
            file alone. Not of the config, which may be trained from again.
            Defaults to False.
        hooks (Sequence[Hook]): More hooks, likewise. Defaults to none.

    Returns:
        dict[str, float]: Metrics of the last evaluation.

    Raises:
        UserError: If anything the user gave is wrong. Before the first
            training step nothing is saved that makes a work directory a used
            one, and nothing of an older run deleted.
    """
    # Not for the snapshot, which may be trained from again.
    overwrite = bool(config.pop('overwrite', False))
    _check_start(config, overwrite)
    with naming_mistakes(config) as built:
        with progress('preparing the run', lines=False):
            runner = build_runner(config, 'train')
        for hook in (built, *hooks, *[OverwriteHook()] * overwrite):
            runner.register_hook(hook)
        keep_freed_memory()
        for hook in runner.hooks:
            if lines and isinstance(hook, ProgressHook):
                hook.lines = True
        runner.train()
    history = runner.message_hub.runtime_info.get('evaluation_history', [])
    return dict(history[-1]) if history else {}


def test(
    config: Config,
    checkpoint: Union[str, Path],
    tta: bool = False,
    predictions: Union[str, Path, None] = None,
) -> Dict[str, float]:
    """Evaluates a checkpoint.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.prepare`.
        checkpoint (str | Path): A run's checkpoint, or a plain student's: for
            that the student alone is built, and no teacher is needed.
        tta (bool): Augment at test time, as the config's ``tta_model`` and
            ``tta_pipeline`` say; without them scores are averaged over the
            image and its mirror image, as MMPretrain does. Defaults to False.
        predictions (str | Path, optional): A ``.pkl`` file for what the
            student says of each image: a list of dicts, ``pred_label`` and
            ``pred_score`` among others, in the order of the dataset. Defaults
            to None.

    Returns:
        dict[str, float]: Metrics.

    Raises:
        UserError: If the file is damaged or does not match the config.
    """
    content = load_checkpoint(checkpoint)
    weights = content.get('state_dict', content)
    # A config may name a test-time augmentation as its model itself.
    if tta and 'module' not in config.model:
        _augment(config)
    owner, key = config, 'model'
    if 'module' in config.model:
        owner, key = config.model, 'module'
    plain = not any(name.startswith(PREFIX) for name in weights)
    if plain and 'student' in owner[key]:
        owner[key] = owner[key].student
    config.load_from, config.resume = str(checkpoint), False
    with naming_files(), no_bar_left():
        with progress('preparing the test', lines=False):
            runner = build_runner(config, 'test')
        if predictions is not None:
            # Not in the config, which may have an evaluator of any form.
            runner.test_evaluator.metrics.append(DumpResults(str(predictions)))
        return runner.test()


def _augment(config: Config) -> None:
    """Wraps model and pipeline as MMPretrain's ``tools/test.py --tta``."""
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    pipeline = pipeline_of(dataset)
    if not pipeline:
        raise UserError(
            '--tta: expected a test_dataloader.dataset.pipeline whose last '
            'step packs the image, got none.'
        )
    wrapper = config.get('tta_model') or dict(
        type='mmpretrain.AverageClsScoreTTA'
    )
    config.model = ConfigDict(**wrapper, module=config.model)
    flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
    augmented = config.get('tta_pipeline') or [
        *pipeline[:-1],
        dict(
            type='TestTimeAug', transforms=[flips, [copy.copy(pipeline[-1])]]
        ),
    ]
    config.test_dataloader.dataset = with_pipeline(dataset, augmented)


def build_runner(config: Config, loop: Optional[str] = None) -> Runner:
    """Builds the runner, or the registered ``runner_type`` of the config.

    Whatever the config's hooks are, the classes are compared, no run goes on
    with a loss that is not finite, and what is saved can be resumed, with
    another length too.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.prepare`.
        loop (str, optional): The loop that is to be run, 'train' or 'test':
            it is built too. Defaults to None.

    Returns:
        Runner: With its model and its hooks.

    Raises:
        UserError: If it cannot be built, or has no such loop.
    """
    with naming_misspelt(config):
        _distribute(config)
        if 'runner_type' in config:
            runner = RUNNERS.build(config)
        else:
            runner = ConsoleRunner.from_cfg(config)
        for kind in (
            ClassesHook,
            FiniteLossHook,
            ResumedScheduleHook,
            StorableHook,
        ):
            ensure_hook(runner, kind)
        if loop and getattr(runner, f'{loop}_loop') is None:
            raise UserError(
                f'config: expected {loop}_dataloader and {loop}_cfg, got none.'
            )
    return runner


#: A variable that each launcher sets for the processes that it starts.
_STARTED = dict(
    pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK'
)


def _distribute(config: Config) -> None:
    """Makes this process a rank, as far as MMEngine does not.

    MMEngine gives all Slurm jobs one port, so of two that meet on a machine
    the second fails, and it wants an accelerator: torchrun's processes on a
    CPU get gloo here.

    Raises:
        UserError: If the config's ``launcher`` has not started this process.
    """
    launcher = config.get('launcher') or 'none'
    if launcher == 'none':
        return
    on_cpu = get_device() == 'cpu'
    if not is_distributed():
        if _STARTED[launcher] not in os.environ:
            raise UserError(
                f'--launcher {launcher}: expected a process that it started, '
                f'got an environment without {_STARTED[launcher]}; use '
                'tools/dist_*.sh or tools/slurm_*.sh.'
            )
        if launcher == 'slurm':
            job, step = (
                int(os.environ.get(name, 0))
                for name in ('SLURM_JOB_ID', 'SLURM_STEP_ID')
            )
            # Below what systems give out to clients.
            port = 20000 + (31 * job + step) % 12000
            os.environ.setdefault('MASTER_PORT', str(port))
        if on_cpu and launcher != 'pytorch':
            raise UserError(
                f'--launcher {launcher}: expected an accelerator, got a CPU, '
                'on which tools/dist_train.sh runs several processes.'
            )
        if on_cpu:
            torch.distributed.init_process_group('gloo')
    if on_cpu and config.get('model_wrapper_cfg') is None:
        config.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            # Else MMEngine gives the rank's, which a CPU model must not have.
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=config.get('find_unused_parameters', False),
        )


def _check_start(config: Config, overwrite: bool) -> None:
    """Refuses a used work directory, and weights that are not there."""
    start = config.get('load_from')
    resume = bool(config.get('resume'))
    check_work_dir(config.work_dir, start, resume, overwrite)
    # Else an address, which MMEngine fetches.
    if start and not resume and '://' not in str(start):
        load_checkpoint(Path(start).expanduser())


class _Built(Hook):
    """Notes that all is built: what then goes wrong is a defect."""

    # Before any hook of the config.
    priority = 'HIGHEST'
    reached = False

    def before_run(self, runner: Runner) -> None:
        self.reached = True


@contextmanager
def naming_mistakes(config: Config) -> Iterator[Hook]:
    """Names what is wrong with a config while it is built and trained.

    Args:
        config (Config): What is trained.

    Yields:
        Hook: For the runner: once it has been reached, what goes wrong is a
        defect, unless the config itself explains it.

    Raises:
        UserError: If a part cannot be built, a file cannot be read or
            written, or weights cannot be downloaded.
    """
    built = _Built()
    # Datasets, optimisers and schedules are built by runner.train() only.
    with naming_misspelt(config, lambda: not built.reached):
        with naming_files(), _naming_downloads(config), no_bar_left():
            yield built


@contextmanager
def _naming_downloads(config: Config) -> Iterator[None]:
    """Names what to fetch by hand when a download fails."""
    try:
        yield
    except URLError as error:
        urls = sorted(set(_urls(config.model)))
        folder = Path(torch.hub.get_dir()) / 'checkpoints'
        raise UserError(
            f'weights cannot be downloaded ({error.reason}): put '
            f'{", ".join(url.rsplit("/", 1)[1] for url in urls)} from '
            f'{", ".join(urls)} into {folder}.'
        ) from error


def _urls(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _urls(value)
    elif isinstance(node, str) and node.startswith(('http://', 'https://')):
        yield node
