"""What the command-line tools call: build a config, train, test."""

from __future__ import annotations

import logging
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Union
from urllib.error import URLError

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS, DefaultScope
from mmengine.runner import Runner

from ..errors import UserError
from ..registry import DATASETS
from .checkpoint import latest_checkpoint

AUTO = 'auto'
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_LOADER_DEFAULTS = dict(
    pin_memory=True,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
)


def load_config(
    path: Union[str, Path], options: Optional[dict] = None
) -> Config:
    """Reads a config file and merges ``--cfg-options`` into it.

    Args:
        path (str | Path): The config, plain or lazy.
        options (dict, optional): Dotted keys to new values. Defaults to None.

    Returns:
        Config: With ``num_classes='auto'`` resolved.

    Raises:
        UserError: If the file is missing or cannot be read as a config.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'config {path}: there is no such file.')
    try:
        config = Config.fromfile(str(path))
    except (SyntaxError, FileNotFoundError) as error:
        raise UserError(
            f'config {path}: cannot be read ({type(error).__name__}: {error}).'
        ) from error
    if options:
        config.merge_from_dict(options)
    _resolve_classes(config)
    _check_batch_sizes(config)
    return config


def prepare(
    config: Config,
    *,
    config_path: Union[str, Path],
    work_dir: Optional[str] = None,
    launcher: str = 'none',
    amp: bool = False,
    resume: Optional[str] = None,
    auto_scale_lr: bool = False,
    validate: bool = True,
) -> Config:
    """Applies MMPretrain's command-line switches to a config.

    Args:
        config (Config): From :func:`load_config`.
        config_path (str | Path): Its file; names the default work directory.
        work_dir (str, optional): Defaults to the config's, else
            ``work_dirs/<config name>``.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'. Defaults to
            'none'.
        amp (bool): Automatic mixed precision. Defaults to False.
        resume (str, optional): 'auto' continues from the newest complete
            checkpoint of the work directory, or starts when there is none; a
            path continues from that file. Defaults to None.
        auto_scale_lr (bool): Scale the learning rate to the batch size.
            Defaults to False.
        validate (bool): Evaluate during training. Defaults to True.

    Returns:
        Config: The same object.
    """
    config.launcher = launcher
    config.work_dir = (
        work_dir
        or config.get('work_dir')
        or str(Path('work_dirs') / Path(config_path).stem)
    )
    if not validate:
        config.val_cfg = config.val_dataloader = config.val_evaluator = None
    if amp:
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if auto_scale_lr:
        if 'auto_scale_lr' not in config:
            raise UserError(
                '--auto-scale-lr: the config has no auto_scale_lr, but '
                'auto_scale_lr=dict(base_batch_size=...) is wanted.'
            )
        config.auto_scale_lr.enable = True
    if resume == 'auto':
        newest = latest_checkpoint(config.work_dir)
        config.resume = newest is not None
        config.load_from = str(newest) if newest else None
    elif resume is not None:
        if not Path(resume).is_file():
            raise UserError(f'--resume {resume}: there is no such file.')
        config.resume, config.load_from = True, resume
    for name in _LOADERS:
        if config.get(name) is not None:
            loader = ConfigDict({**_LOADER_DEFAULTS, **config[name]})
            if loader.get('num_workers', 0) == 0:
                loader.persistent_workers = False
            config[name] = loader
    return config


def train(config: Config) -> Dict[str, float]:
    """Trains what a prepared config describes.

    Args:
        config (Config): From :func:`prepare`.

    Returns:
        dict[str, float]: Metrics of the last evaluation.

    Raises:
        UserError: If anything the user gave is wrong; then the work directory
            is left as it was.
    """
    with _clean_on_error(Path(config.work_dir)) as started:
        runner = build_runner(config)
        runner.register_hook(_StartedHook(started), priority='LOWEST')
        _naming_downloads(runner.train, config)
    history = runner.message_hub.runtime_info.get('evaluation_history', [])
    return dict(history[-1]) if history else {}


def test(config: Config, checkpoint: Union[str, Path]) -> Dict[str, float]:
    """Evaluates a checkpoint, a distiller's or a plain student's.

    Args:
        config (Config): From :func:`prepare`.
        checkpoint (str | Path): The weights.

    Returns:
        dict[str, float]: Metrics.
    """
    if not Path(checkpoint).is_file():
        raise UserError(f'checkpoint {checkpoint}: there is no such file.')
    config.load_from, config.resume = str(checkpoint), False
    with _clean_on_error(Path(config.work_dir)):
        return build_runner(config).test()


def build_runner(config: Config) -> Runner:
    """Builds the runner, or the registered ``runner_type`` of the config."""
    if 'runner_type' in config:
        return RUNNERS.build(config)
    return Runner.from_cfg(config)


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


def _resolve_classes(config: Config) -> None:
    """Replaces ``num_classes='auto'`` by the labelled dataset's classes."""
    if not _contains_auto(config._cfg_dict):
        return
    dataset = config.train_dataloader.dataset
    labelled = dataset.get('labelled', dataset)
    with DefaultScope.overwrite_default_scope(
        config.get('default_scope', 'mmkd_custom')
    ):
        built = DATASETS.build(dict(labelled, pipeline=[]))
    classes = built.metainfo.get('classes')
    if classes is None:
        raise UserError(
            "num_classes='auto' wants a labelled dataset with class names, "
            f'but {type(built).__name__} has none; give the number.'
        )
    _replace_auto(config._cfg_dict, len(classes))


def _contains_auto(node: object) -> bool:
    if isinstance(node, dict):
        return any(
            (key == 'num_classes' and value == AUTO) or _contains_auto(value)
            for key, value in node.items()
        )
    if isinstance(node, (list, tuple)):
        return any(_contains_auto(value) for value in node)
    return False


def _replace_auto(node: object, count: int) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'num_classes' and value == AUTO:
                node[key] = count
            else:
                _replace_auto(value, count)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _replace_auto(value, count)


def _check_batch_sizes(config: Config) -> None:
    for name in _LOADERS:
        size = (config.get(name) or {}).get('batch_size', 1)
        if not isinstance(size, int) or size < 1:
            raise UserError(
                f'{name}.batch_size={size!r}, but a whole number '
                '>= 1 is wanted.'
            )


class _StartedHook(Hook):
    """Notes that the first iteration is done: from then on files stay."""

    def __init__(self, started: list) -> None:
        self.started = started

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        if not self.started:
            self.started.append(True)


@contextmanager
def _clean_on_error(work_dir: Path) -> Iterator[list]:
    """Takes back what a runner wrote when the user's input was wrong.

    The runner makes its directory before it looks at model and data. Only
    what this call made is removed, and only before training started.
    """
    before = set(work_dir.iterdir()) if work_dir.is_dir() else None
    started: list = []
    try:
        yield started
    except UserError:
        if not started and is_main_process():
            logging.shutdown()
            made = set(work_dir.iterdir()) if work_dir.is_dir() else set()
            for path in made - (before or set()):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            if before is None and work_dir.is_dir():
                work_dir.rmdir()
        raise
