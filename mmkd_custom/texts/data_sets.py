"""The data sets that a tower is evaluated on: a config's, or named folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence, Union

from mmengine.config import Config

from ..datasets.prompt_names import prompt_names
from ..datasets.wrappers import pipeline_of, with_pipeline
from ..errors import UserError
from ..models.teachers.open_clip.zero_shot import check_class_names
from ..registry import DATASETS

#: What the folder of test images of a data set may be called.
TEST, TRAIN = ('test', 'val'), 'train'


class DataSet(NamedTuple):
    """Images to be tested on.

    Attributes:
        name (str): What it is called.
        test (BaseDataset): With labels.
        train (BaseDataset, optional): Those that a linear probe is fitted to.
        classes (list[str]): Names for prompts, in the order of the labels.
    """

    name: str
    test: Any
    train: Optional[Any]
    classes: List[str]


def data_sets(
    config: Config,
    folders: Sequence[Union[str, Path]] = (),
    classes: Optional[Sequence[str]] = None,
) -> List[DataSet]:
    """Finds the data sets, each image seen through the test pipeline.

    Args:
        config (Config): With ``test_dataloader``; its own data set is taken
            where no folder is named, and its labelled training images are
            what a probe is fitted to.
        folders (Sequence[str]): Each ``<folder>/{train,test}/<class>/*.jpg``,
            'val' for 'test' as well; or class folders alone, which no probe
            can be fitted to. Defaults to none.
        classes (Sequence[str], optional): Names of the classes in the order
            of their labels, or a text file with one a line. Defaults to None,
            those of the data set.

    Raises:
        UserError: If a folder is none, a data set has no classes, or
            ``classes`` are others than its.
    """
    loader = config.get('test_dataloader')
    pipeline = pipeline_of((loader or {}).get('dataset') or {})
    if pipeline is None:
        raise UserError(
            'config: test_dataloader.dataset: expected a dataset with a '
            'pipeline, got none.'
        )
    names = None if classes is None else _given(classes)
    found = [_folder(Path(folder), pipeline, names) for folder in folders]
    return found or [_own(config, loader.dataset, pipeline, names)]


def _own(
    config: Config, test: dict, pipeline: Sequence, names: Optional[List[str]]
) -> DataSet:
    labelled = (config.get('train_dataloader') or {}).get('dataset') or {}
    labelled = labelled.get('labelled')
    train = labelled and DATASETS.build(with_pipeline(labelled, pipeline))
    built = DATASETS.build(test)
    name = str(config.get('task') or type(built).__name__)
    return DataSet(name, built, train, _classes(name, built, names))


def _folder(
    folder: Path, pipeline: Sequence, names: Optional[List[str]]
) -> DataSet:
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise UserError(
            f'--data: expected a folder of images, got {str(folder)!r}.'
        )
    domain = next((n for n in TEST if (folder / n).is_dir()), None)
    spec = dict(type='DomainFolder', data_root=str(folder), pipeline=pipeline)
    train = None
    if domain is None:
        spec.update(data_root=str(folder.parent), domain=folder.name)
    else:
        spec.update(domain=domain)
        if (folder / TRAIN).is_dir():
            spec.update(classes_from=TRAIN)
            train = dict(spec, domain=TRAIN, classes_from=domain)
    test = DATASETS.build(spec)
    train = train and DATASETS.build(train)
    return DataSet(
        folder.name, test, train, _classes(folder.name, test, names)
    )


def _classes(name: str, dataset: Any, names: Optional[List[str]]) -> List[str]:
    dataset.full_init()
    meta = dataset.metainfo
    own = meta.get('classes')
    if names is None:
        if own is None:
            raise UserError(
                f'{name}: expected a data set with class names, got none; '
                'give --classes.'
            )
        return list(meta.get('class_names') or prompt_names(own))
    if own is not None and len(own) != len(names):
        raise UserError(
            f'--classes: expected {len(own)} names, one for each class of '
            f'{name} in the order of their labels, got {len(names)}.'
        )
    return names


def _given(classes: Sequence[str]) -> List[str]:
    classes = list(classes)
    if len(classes) == 1 and Path(classes[0]).expanduser().is_file():
        try:
            text = Path(classes[0]).expanduser().read_text(encoding='utf-8')
        except UnicodeDecodeError as error:
            raise UserError(
                '--classes: expected a text file in UTF-8, got '
                f'{classes[0]!r} ({error}).'
            ) from error
        classes = [line.strip() for line in text.splitlines() if line.strip()]
    return check_class_names(classes, '--classes')
