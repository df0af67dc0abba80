"""From a config file and switches to the config that a runner takes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, Optional, Tuple, Union
from unittest import mock

from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.utils import import_modules_from_strings

from ..errors import UserError
from ..expand import expand
from ..expand.key import KEY
from ..utils.files import load_checkpoint
from ..utils.runs import latest_checkpoint
from ..utils.shipped import shipped_config
from .building import LOADERS
from .config_data import AUTO, resolve_classes
from .values import check_file_names, check_option_names, check_values

#: A variable inside a text, ``'{{$NAME:default}}'``; outside of one it is
#: ``{{'$NAME:default'}}``.
_IN_A_TEXT = re.compile(r'(?<![=(,\[])(?<![=(,\[] )\{\{\s*\$(\w+)\s*:')
_LOADER_DEFAULTS = dict(
    pin_memory=True,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
)


def read_config(path: Union[str, Path]) -> Config:
    """Reads a config file, whatever the variables in it hold.

    MMEngine pastes a variable into the file's source, as the replacement of a
    regular expression. An apostrophe would end the text that it is in, and a
    backslash stand for something else. And it knows the packages by name that
    ``_base_ = 'package::config.py'`` may name: this one is not among them.

    Args:
        path (str | Path): The config, plain or lazy.

    Returns:
        Config: As ``Config.fromfile`` gives it.
    """
    substitute = Config._substitute_env_variables

    def quoting(filename: str, temporary: str) -> Dict[str, str]:
        text = Path(filename).read_text(encoding='utf-8')
        names = {n for n in _IN_A_TEXT.findall(text) if n in os.environ}
        quoted = {name: _quoted(os.environ[name]) for name in names}
        with mock.patch.dict(os.environ, quoted):
            return substitute(filename, temporary)

    with mock.patch.multiple(
        Config,
        _substitute_env_variables=staticmethod(quoting),
        _get_cfg_path=staticmethod(_path_of_base),
    ):
        return Config.fromfile(str(path))


_usual_path = Config._get_cfg_path


def _path_of_base(base: str, filename: str) -> Tuple[str, Optional[str]]:
    """Returns the file of a ``_base_`` and the scope of its types."""
    ours = shipped_config(base)
    # Like a file beside it: shipped configs set their scope themselves.
    return (str(ours), None) if ours else _usual_path(base, filename)


def _quoted(value: str) -> str:
    """Returns the replacement that puts a value into a quoted text."""
    inside = re.sub(r'([\\\'"])', r'\\\1', value).replace('\n', r'\n')
    return inside.replace('\\', r'\\')


def load_config(
    path: Union[str, Path], options: Optional[dict] = None
) -> Config:
    """Reads a config file and merges ``--cfg-options`` into it.

    Args:
        path (str | Path): The config, plain or lazy.
        options (dict, optional): Dotted keys to new values. Defaults to None.

    Returns:
        Config: With the key ``distill`` expanded, and ``num_classes='auto'``
        and ``class_names='auto'`` resolved by the labelled dataset.

    Raises:
        UserError: If the file is missing or cannot be read as a config, or
            an option does not fit it.
    """
    config = _read(path)
    check_file_names(config)
    check_option_names(options or {}, config)
    try:
        config.merge_from_dict(options or {})
        # For the run's results to tell.
        config.cfg_options = dict(options or {})
        # Those of the file were imported with it.
        if any(name.startswith('custom_imports') for name in options or {}):
            import_modules_from_strings(**config.custom_imports)
    except Exception as error:
        raise UserError(
            f'--cfg-options {options}: do not fit the config '
            f'({type(error).__name__}: {error}).'
        ) from error
    config = expand(config)
    check_values(config)
    resolve_classes(config)
    _check_drop_last(config)
    return config


def has_key(path: Union[str, Path], options: Optional[dict] = None) -> bool:
    """Whether a config has the key ``distill``.

    Args:
        path (str | Path): The config, as it is written.
        options (dict, optional): Those of the command line, which may add the
            key. Defaults to None.

    Raises:
        UserError: If the file is missing or cannot be read as a config.
    """
    added = {name.split('.')[0] for name in options or {}}
    return KEY in added or KEY in _read(path)


def _read(path: Union[str, Path]) -> Config:
    path = Path(path)
    if not path.is_file():
        raise UserError(f'config {path}: there is no such file.')
    try:
        return read_config(path)
    # A config is Python that the user wrote: anything can come out of it.
    except Exception as error:
        raise UserError(
            f'config {path}: cannot be read '
            f'({type(error).__name__}: {error}); DATA_ROOT, SOURCE, TARGET, '
            'SEED and other variables of the '
            'environment become part of it.'
        ) from error


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
    overwrite: bool = False,
    trains: bool = True,
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
            path continues from that file. Defaults to None, which leaves it
            to the config.
        auto_scale_lr (bool): Scale the learning rate to the batch size.
            Defaults to False.
        validate (bool): Evaluate during training. Defaults to True.
        overwrite (bool): Delete what an older run left in the work directory,
            which is refused otherwise. Defaults to False.
        trains (bool): Whether the run of the config is to be trained; else it
            does not matter that a run's snapshot says what it went on from.
            Defaults to True.

    Returns:
        Config: The same object.

    Raises:
        UserError: If a switch cannot be followed, or there are checkpoints to
            go on from and none can be used.
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
        if get_device() == 'cpu':
            raise UserError(
                '--amp: expected an accelerator, on which alone MMEngine '
                'mixes precisions, got a CPU; leave it out.'
            )
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if auto_scale_lr:
        if 'auto_scale_lr' not in config:
            raise UserError(
                '--auto-scale-lr: expected '
                'auto_scale_lr=dict(base_batch_size=...) in the config, got '
                'none.'
            )
        config.auto_scale_lr.enable = True
    if overwrite:
        config.overwrite = True
    if not trains:
        config.resume = False
    elif config.get('load_from') and not config.get('resume'):
        # Where a run started stays known when it goes on from elsewhere.
        config.setdefault('initial_weights', config.load_from)
    if resume is None and config.get('resume'):
        given = config.get('load_from')
        # A snapshot of a run that went on here names where it went on from.
        own = given and Path(given).resolve().parent == (
            Path(config.work_dir).resolve()
        )
        resume = given if given and not own else AUTO
    if resume == AUTO and overwrite:
        raise UserError(
            '--overwrite: deletes what --resume auto would go on from; give '
            'one of them.'
        )
    if resume == AUTO:
        newest = latest_checkpoint(config.work_dir)
        config.resume = newest is not None
        # A fresh run starts from the weights that the config names.
        if newest is not None:
            config.load_from = str(newest)
    elif resume is not None:
        if '://' not in resume:
            load_checkpoint(resume)
        config.resume, config.load_from = True, resume
    for name in LOADERS:
        if config.get(name) is not None:
            loader = ConfigDict({**_LOADER_DEFAULTS, **config[name]})
            if loader.get('num_workers', 0) == 0:
                loader.persistent_workers = False
            config[name] = loader
    return config


def _check_drop_last(config: Config) -> None:
    loader = config.get('train_dataloader') or {}
    if loader.get('batch_sampler') and loader.get('drop_last'):
        raise UserError(
            f'train_dataloader.drop_last={loader.drop_last!r}: with a '
            'batch_sampler the sampler decides this; set '
            'train_dataloader.sampler.drop_last instead.'
        )
