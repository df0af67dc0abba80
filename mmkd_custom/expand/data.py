"""The streams of the expanded config: dataset, sampler, views."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any, List, Optional

from mmengine.config import Config
from torch.utils.data import Dataset

from ..datasets import TwoStreamDataset
from ..datasets.images import is_image_name, visible_files
from ..datasets.wrappers import pipeline_of, with_pipeline
from ..errors import UserError
from ..registry import DATASETS
from ..utils.kinds import kind_name
from .elsewhere import DRAWS, STREAMS, refuse
from .key import OWN, WHOLE, Key
from .shipped import scoped

#: Samplers that draw every image once a pass, as TwoStreamSampler does.
_PLAIN = ('DefaultSampler', 'InfiniteSampler')
#: Views of each image with a cache of the student's crops.
_CACHED_VIEWS = 4
#: Least pixels of a whole image where nobody says how many.
_WHOLE = 224


def check_images(config: Config) -> None:
    """Refuses training images that no streams can be made of.

    Raises:
        UserError: If there is no labelled dataset, or one of two streams.
    """
    labelled = (config.get('train_dataloader') or {}).get('dataset')
    if not isinstance(labelled, dict) or 'type' not in labelled:
        raise UserError(
            'distill: expected a train_dataloader.dataset with labels, got '
            f'{labelled!r}.'
        )
    if kind_name(labelled) == TwoStreamDataset.__name__:
        raise UserError(
            'distill: expected the labelled dataset alone in '
            'train_dataloader.dataset, got a TwoStreamDataset; drop one of '
            'them.'
        )
    for name in STREAMS:
        if isinstance(labelled.get(name), dict):
            refuse(f'train_dataloader.dataset.{name}', labelled[name])


def set_streams(config: Config, key: Key) -> None:
    """Puts two streams in place of the training images, in place.

    Args:
        config (Config): Of the student alone, after :func:`check_images`.
        key (Key): The key.

    Raises:
        UserError: If there is no such folder or dataset, or the config draws
            its images in a way that two streams cannot be drawn in.
    """
    loader = config.train_dataloader
    labelled = loader.dataset
    seed = config.randomness.seed
    dataset = dict(
        type='mmkd_custom.TwoStreamDataset', seed=seed, labelled=labelled
    )
    unlabelled = _unlabelled(key.unlabelled, labelled)
    if unlabelled is not None:
        dataset['unlabelled'] = unlabelled
    if key.teacher_view == WHOLE:
        dataset['pipelines'] = dict(teacher=_whole_image(config, key))
        dataset['clean'] = ('teacher',)
    _set_loader(config, loader, dataset, key)


def _set_loader(config: Config, loader: dict, dataset: dict, key: Key) -> None:
    given = dict(loader.get('sampler') or dict(type='DefaultSampler'))
    if kind_name(given) not in _PLAIN:
        raise UserError(
            'distill: expected a train_dataloader.sampler of '
            f'{" or ".join(_PLAIN)}, in whose place two streams are drawn, '
            f'got {kind_name(given)}; set '
            "train_dataloader.sampler=dict(type='DefaultSampler', "
            'shuffle=True).'
        )
    for name in DRAWS:
        if name in given:
            refuse(f'train_dataloader.sampler.{name}', given[name])
    batches = loader.pop('batch_sampler', None)
    if batches and kind_name(batches) != 'BatchSampler':
        raise UserError(
            'distill: expected no train_dataloader.batch_sampler, got '
            f'{kind_name(batches)}, which cannot compose batches of two '
            'streams; set it to None.'
        )
    size = loader.get('batch_size')
    if not isinstance(size, int) or size < 1:
        raise UserError(
            f'train_dataloader.batch_size: expected a whole number >= 1, got '
            f'{size!r}.'
        )
    more = 0
    if 'unlabelled' in dataset:
        more = key.unlabelled_batch or size
    views = key.views
    if views is None and key.cache and key.teacher_view != WHOLE:
        views = _CACHED_VIEWS
    sampler = dict(
        type='mmkd_custom.TwoStreamSampler',
        labelled=size,
        unlabelled=more,
        epoch_length=key.epoch_length,
        num_views=views,
        shuffle=given.get('shuffle', True),
        drop_last=bool(loader.pop('drop_last', False)),
    )
    if given.get('seed') is not None:
        sampler['seed'] = given['seed']
    config.train_dataloader = dict(
        loader,
        batch_size=size + more,
        dataset=dataset,
        sampler=sampler,
        batch_sampler=dict(type='mmkd_custom.TwoStreamBatchSampler'),
    )
    scale = config.get('auto_scale_lr')
    if scale and scale.get('base_batch_size'):
        # MMEngine compares it with all images of a batch.
        base = scale.base_batch_size * (size + more)
        scale.base_batch_size = round(base / size)


def _unlabelled(given: Any, labelled: dict) -> Optional[dict]:
    if given is None:
        return None
    pipeline = copy.deepcopy(pipeline_of(labelled))
    if given == OWN:
        return _without_labels(copy.deepcopy(labelled))
    if isinstance(given, str):
        _check_folder(given)
        return dict(
            type='mmkd_custom.ImageFolder', data_root=given, pipeline=pipeline
        )
    dataset = scoped(given)
    kind = dataset.get('type')
    if isinstance(kind, str):
        try:
            kind = DATASETS.get(kind)
        except RuntimeError:
            kind = None
    if not (inspect.isclass(kind) and issubclass(kind, Dataset)):
        raise UserError(
            'distill.unlabelled: expected the config of a dataset with a '
            f'type that exists, got {given.get("type")!r}; a folder is '
            'written as a text.'
        )
    if pipeline_of(dataset) is None:
        dataset = with_pipeline(dataset, pipeline)
    return dataset


def _check_folder(name: str) -> None:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise UserError(
            'distill.unlabelled: expected an existing folder of images, got '
            f'{name!r}.'
        )
    if not any(map(is_image_name, visible_files(folder))):
        raise UserError(
            f'distill.unlabelled: expected images in {name!r} or below, got '
            'none.'
        )


def _without_labels(dataset: dict) -> dict:
    """Takes away what repeats images by their labels."""
    if kind_name(dataset) == 'ClassBalancedDataset':
        return _without_labels(dataset['dataset'])
    if isinstance(dataset.get('dataset'), dict):
        return dict(dataset, dataset=_without_labels(dataset['dataset']))
    if isinstance(dataset.get('datasets'), (list, tuple)):
        inner = [_without_labels(one) for one in dataset['datasets']]
        return dict(dataset, datasets=inner)
    return dataset


def _whole_image(config: Config, key: Key) -> List[dict]:
    """Returns the pipeline of a view that draws nothing: the whole image."""
    pipeline = pipeline_of(config.train_dataloader.dataset) or []
    size = key.teacher_size or max(_WHOLE, config.model.input_size)
    loading = [
        copy.deepcopy(step)
        for step in pipeline[:1]
        if kind_name(step).startswith('Load')
    ]
    return [
        *loading,
        dict(type='Resize', scale=(size, size), interpolation='area'),
        dict(type='PackInputs'),
    ]
