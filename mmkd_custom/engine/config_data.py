"""The datasets of a config, and what they decide of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Tuple

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings

from ..datasets import TwoStreamDataset
from ..datasets.prompt_names import prompt_names
from ..datasets.wrappers import with_pipeline
from ..errors import UserError
from ..registry import DATASETS
from ..stages import STREAMS
from .building import naming_misspelt

AUTO = 'auto'
#: Options that the labelled dataset decides, and what else can be given.
_MANUAL = dict(num_classes='the number', class_names='the names')


@contextmanager
def config_scope(config: Config) -> Iterator[None]:
    """Builds what a config names, as its runner would.

    Args:
        config (Config): Its ``custom_imports`` are imported and its
            ``default_scope`` is in force inside the ``with`` block.

    Raises:
        UserError: If a type or an argument of the config is misspelt.
    """
    imports = config.get('custom_imports')
    if imports:
        import_modules_from_strings(**imports)
    scope = DefaultScope.overwrite_default_scope(
        config.get('default_scope', 'mmkd_custom')
    )
    with scope, naming_misspelt(config):
        yield


def training_data(config: Config) -> TwoStreamDataset:
    """Builds the training images of a config.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`.

    Returns:
        TwoStreamDataset: The config's own; around another dataset, all of
        whose images are labelled, one is made.

    Raises:
        UserError: If there is none, or it cannot be built.
    """
    given = (config.get('train_dataloader') or {}).get('dataset')
    if not given:
        raise UserError(
            'config: expected a train_dataloader.dataset, got none.'
        )
    with config_scope(config):
        dataset = DATASETS.build(given)
        if isinstance(dataset, TwoStreamDataset):
            return dataset
        return TwoStreamDataset(labelled=dataset)


def streams_of(config: Config) -> Dict[str, Any]:
    """Builds the datasets of a config that hold its images.

    Args:
        config (Config): From :func:`~mmkd_custom.engine.config.load_config`.

    Returns:
        dict[str, BaseDataset]: ``'labelled'``, ``'unlabelled'`` and
        ``'synthetic'`` if there are any, and of ``'val'`` and ``'test'``
        those that the config has; of two alike the latter alone.

    Raises:
        UserError: If there is no training data, or any cannot be built.
    """
    train = training_data(config)
    streams = {name: getattr(train, name) for name in STREAMS}
    given = {
        name: (config.get(f'{name}_dataloader') or {}).get('dataset')
        for name in ('val', 'test')
    }
    if given['val'] == given['test']:
        del given['val']
    with config_scope(config):
        for name, dataset in given.items():
            if dataset:
                streams[name] = DATASETS.build(dataset)
    return {k: data for k, data in streams.items() if data is not None}


def resolve_classes(config: Config) -> None:
    """Replaces 'auto' by the labelled dataset's classes, in place.

    Args:
        config (Config): With ``num_classes='auto'`` or ``class_names='auto'``
            anywhere, or without.

    Raises:
        UserError: If there is no labelled dataset that knows them.
    """
    _, option = next(_autos(config._cfg_dict), (None, None))
    if option is None:
        return
    built = labelled_dataset(config)
    if built is None:
        raise UserError(
            f"{option}='auto': expected a train_dataloader.dataset with class "
            f'names, got none; give {_MANUAL[option]}.'
        )
    classes = built.metainfo.get('classes')
    if classes is None:
        raise UserError(
            f"{option}='auto': expected a labelled dataset with class names, "
            f'got a {type(built).__name__} without; give {_MANUAL[option]}.'
        )
    values = dict(
        num_classes=len(classes),
        # Where classes are called by numbers, the dataset knows names.
        class_names=list(
            built.metainfo.get('class_names') or prompt_names(classes)
        ),
    )
    for node, option in list(_autos(config._cfg_dict)):
        node[option] = values[option]


def labelled_dataset(config: Config) -> Any:
    """Builds the labelled dataset of a config, without a pipeline.

    Args:
        config (Config): Of a run, with or without two streams.

    Returns:
        BaseDataset | None: As far as its ``metainfo`` has the classes, if it
        knows any; None if the config has no such dataset.
    """
    dataset = (config.get('train_dataloader') or {}).get('dataset')
    if dataset and {'labelled', 'unlabelled'} & dataset.keys():
        dataset = dataset.get('labelled')
    if dataset is None:
        return None
    spec = with_pipeline(dataset, [])
    with config_scope(config):
        try:
            built = DATASETS.build(dict(spec, lazy_init=True))
        except TypeError:
            # A dataset need not know this option of MMEngine's.
            built = DATASETS.build(spec)
        # MMPretrain's datasets of folders learn them from their samples.
        if built.metainfo.get('classes') is None:
            built.full_init()
    return built


def _autos(node: object) -> Iterator[Tuple[dict, str]]:
    """Yields each option that is 'auto', after the dict that it stands in."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _MANUAL and value == AUTO:
                yield node, key
            else:
                yield from _autos(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _autos(value)
