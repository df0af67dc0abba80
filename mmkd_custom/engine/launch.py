"""What the command-line tools call: train and test."""

from __future__ import annotations

import copy
import logging
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Union
from urllib.error import URLError

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..datasets.wrappers import pipeline_of, with_pipeline
from ..errors import UserError, naming_files
from ..export.checkpoint import PREFIX
from ..utils.files import load_checkpoint
from ..utils.runs import check_work_dir, left_by_run
from .checkpoint import StorableHook
from .distributed import distribute
from .hooks import ClassesHook, FiniteLossHook
from .hooks.results import OverwriteHook
from .hooks.resumed_schedule import ResumedScheduleHook
from .misspelt import naming_misspelt
from .unwrap import ensure_hook


def train(config: Config) -> Dict[str, float]:
    """Trains what a prepared config describes.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.prepare`.

    Returns:
        dict[str, float]: Metrics of the last evaluation.

    Raises:
        UserError: If anything the user gave is wrong. Unless an epoch was
            finished, the work directory is then as it was before, less what
            ``overwrite`` deleted before the first training step.
    """
    # Not for the snapshot, which may be trained from again.
    overwrite = bool(config.pop('overwrite', False))
    _check_start(config, overwrite)
    with untouched_on_error(Path(config.work_dir)) as trained:
        # Datasets, optimisers and schedules are built by runner.train() only.
        with naming_misspelt(), naming_files():
            runner = _naming_downloads(lambda: build_runner(config), config)
            _check_loop(runner._train_loop, 'train')
            runner.register_hook(_NoteEpoch(trained), priority='LOWEST')
            if overwrite:
                runner.register_hook(OverwriteHook())
            _naming_downloads(runner.train, config)
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
    work_dir = Path(config.work_dir)
    with untouched_on_error(work_dir), naming_misspelt(), naming_files():
        runner = build_runner(config)
        _check_loop(runner._test_loop, 'test')
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
            '--tta: the config has no test_dataloader.dataset.pipeline, but '
            'one whose last step packs the image is wanted.'
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


def build_runner(config: Config) -> Runner:
    """Builds the runner, or the registered ``runner_type`` of the config.

    Whatever the config's hooks are, the classes are compared, no run goes on
    with a loss that is not finite, and what is saved can be resumed, with
    another length too.
    """
    distribute(config)
    if 'runner_type' in config:
        runner = RUNNERS.build(config)
    else:
        runner = Runner.from_cfg(config)
    for kind in (
        ClassesHook,
        FiniteLossHook,
        ResumedScheduleHook,
        StorableHook,
    ):
        ensure_hook(runner, kind)
    return runner


def _check_loop(loop: object, name: str) -> None:
    """Refuses a config that does not say what to run through."""
    if loop is None:
        raise UserError(
            f'config: has no {name}_dataloader and {name}_cfg, but they are '
            'wanted.'
        )


def _check_start(config: Config, overwrite: bool) -> None:
    """Refuses a used work directory, and weights that are not there."""
    start = config.get('load_from')
    resume = bool(config.get('resume'))
    check_work_dir(config.work_dir, start, resume, overwrite)
    # Else an address, which MMEngine fetches.
    if start and not resume and '://' not in str(start):
        load_checkpoint(Path(start).expanduser())


def _naming_downloads(call: Callable[[], Any], config: Config) -> Any:
    """Calls, and says what to fetch by hand when a download fails."""
    try:
        return call()
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
        for value in node.values():
            yield from _urls(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _urls(value)
    elif isinstance(node, str) and node.startswith(('http://', 'https://')):
        yield node


class _NoteEpoch(Hook):
    """Notes an epoch, or a checkpoint: from then on files stay."""

    def __init__(self, trained: List[int]) -> None:
        self.trained = trained

    def after_train_epoch(self, runner: Runner) -> None:
        self.trained.append(runner.epoch)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self.trained.append(runner.epoch)


@contextmanager
def untouched_on_error(work_dir: Path) -> Iterator[List[int]]:
    """Takes back what a runner wrote when the user's input was wrong.

    The runner makes its directory and its config snapshot before it looks at
    model and data. What was made is removed and a snapshot that was
    overwritten is restored, unless the list that is yielded holds a finished
    epoch.
    """
    existed = work_dir.is_dir()
    before = set(work_dir.iterdir()) if existed else set()
    snapshots = {
        p: p.read_bytes() for p in before if p.is_file() and p.suffix == '.py'
    }
    missing = [p for p in (work_dir, *work_dir.parents) if not p.exists()]
    trained: List[int] = []
    try:
        yield trained
    except UserError:
        if not trained and is_main_process():
            _close_logs(work_dir)
            # This process has saved none: they are another's, which trains.
            kept = before.union(left_by_run(work_dir))
            for path in set(work_dir.glob('*')) - kept:
                from ..cache.files import holds_entries

                if path.is_dir() and holds_entries(path):
                    # Nothing in it depends on what was wrong.
                    continue
                elif path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            for path, content in snapshots.items():
                path.write_bytes(content)
            for folder in missing:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        raise


def _close_logs(work_dir: Path) -> None:
    """Closes the runner's log files, lest the next line wants them back."""
    logger = MMLogger.get_current_instance()
    for handler in list(logger.handlers):
        if (
            isinstance(handler, logging.FileHandler)
            and work_dir.absolute() in Path(handler.baseFilename).parents
        ):
            handler.close()
            logger.removeHandler(handler)
