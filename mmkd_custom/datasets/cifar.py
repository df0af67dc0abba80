"""CIFAR-10 and CIFAR-100 from the original files, a few labels of them."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmpretrain.datasets import BaseDataset

from ..errors import UserError, nearest
from ..registry import DATASETS
from .domain_folder import PathLike
from .restricted_pickle import load_pickle
from .subset import keep_subset

SHAPE = (3, 32, 32)


class Layout(NamedTuple):
    """How one of the two archives names its files and their entries.

    Args:
        folder (str): The folder in the archive.
        archive (str): The archive.
        train (tuple[str]): Files of the training images, in order.
        test (tuple[str]): Files of the test images.
        meta (str): File of the class names.
        labels (str): Entry of the labels in an image file.
        names (str): Entry of the class names in ``meta``.
    """

    folder: str
    archive: str
    train: Tuple[str, ...]
    test: Tuple[str, ...]
    meta: str
    labels: str
    names: str


LAYOUTS = dict(
    cifar10=Layout(
        folder='cifar-10-batches-py',
        archive='cifar-10-python.tar.gz',
        train=tuple(f'data_batch_{number}' for number in range(1, 6)),
        test=('test_batch',),
        meta='batches.meta',
        labels='labels',
        names='label_names',
    ),
    cifar100=Layout(
        folder='cifar-100-python',
        archive='cifar-100-python.tar.gz',
        train=('train',),
        test=('test',),
        meta='meta',
        labels='fine_labels',
        names='fine_label_names',
    ),
)


@DATASETS.register_module()
class CIFAR(BaseDataset):
    """CIFAR-10 or CIFAR-100 in the original python format, offline.

    Reads the unpacked folder (``cifar-100-python``, ``cifar-10-batches-py``)
    or the ``.tar.gz`` itself, which is not unpacked to disk; pickles are read
    by :func:`~mmkd_custom.datasets.restricted_pickle.load_pickle`. From
    Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

    A sample holds ``img``, uint8 (32, 32, 3), and ``gt_label``. As in
    MMPretrain's ``CIFAR10``, the channels are R, G, B, while images read from
    files are B, G, R: begin the pipeline with ``dict(type='PILToNumpy',
    to_bgr=True)`` where a ``data_preprocessor`` with ``to_rgb=True`` follows.
    ``to_rgb=False`` on R, G, B would be taken for B, G, R by a teacher.

    Args:
        data_root (str): The folder with the files, the archive, or a folder
            that holds either (the unpacked folder goes first).
        name (str): ``'cifar10'`` or ``'cifar100'`` (fine labels). Defaults to
            'cifar10'.
        split (str): ``'train'`` or ``'test'``. Defaults to 'train'.
        labels_per_class (int, optional): Keep this many seeded samples of
            every class: 4 of CIFAR-100 are the 400-label protocol. Defaults
            to None, which keeps all.
        fraction (float, optional): Keep this seeded share of every class, in
            (0, 1]. Defaults to None.
        complement (bool): Whether to keep what the subset leaves instead.
            Defaults to False.
        seed (int): Seed of the subset. Defaults to 0.
        pipeline (Sequence): Transforms. Defaults to ().
        test_mode (bool): Whether this is test data. Defaults to False.
        **kwargs: Further arguments of MMPretrain's ``BaseDataset``.

    Attributes:
        subset_indices (np.ndarray | None): Indices of the samples kept, among
            all of the split; None without a subset.
        origin (tuple): What the samples are drawn from.

    Raises:
        UserError: If the files are missing, truncated, damaged or hold
            anything but images and labels, or an option is out of range.
    """

    def __init__(
        self,
        data_root: str,
        name: str = 'cifar10',
        split: str = 'train',
        labels_per_class: Optional[int] = None,
        fraction: Optional[float] = None,
        complement: bool = False,
        seed: int = 0,
        pipeline: Sequence = (),
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        for option, value, known in (
            ('name', name, tuple(LAYOUTS)),
            ('split', split, ('train', 'test')),
        ):
            if value not in known:
                raise UserError(
                    f'{option}: one of {", ".join(map(repr, known))} is '
                    f'wanted, but got {value!r} '
                    f'({nearest(str(value), known)}).'
                )
        self.name = name
        self.split = split
        self.layout = LAYOUTS[name]
        self.source = find_cifar(data_root, self.layout)
        self.origin = (str(self.source.resolve()), name, split)
        self.subset_options = dict(
            fraction=fraction,
            labels_per_class=labels_per_class,
            complement=complement,
            seed=seed,
        )
        self.subset_indices = None
        super().__init__(
            ann_file='',
            metainfo=dict(classes=_read_classes(self.source, self.layout)),
            data_root=str(self.source),
            pipeline=pipeline,
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img`` (32, 32, 3), R, G, B, and ``gt_label``."""
        wanted = getattr(self.layout, self.split)
        contents = read_files(self.source, self.layout, wanted)
        samples = []
        for file in wanted:
            images, labels = _images_and_labels(
                f'{self.source}: {file}',
                contents[file],
                self.layout.labels,
                len(self.CLASSES),
            )
            samples += [
                dict(img=image, gt_label=label)
                for image, label in zip(images, labels)
            ]
        samples, self.subset_indices = keep_subset(
            f'CIFAR {self.name!r} {self.split!r}',
            samples,
            self.CLASSES,
            **self.subset_options,
        )
        return samples


def find_cifar(data_root: Optional[PathLike], layout: Layout) -> Path:
    """Finds the unpacked folder or the archive.

    Args:
        data_root (str): The folder, the archive, or what holds one of them;
            ``~`` is expanded.
        layout (Layout): Of the dataset.

    Returns:
        Path: The folder with the files, else the archive.

    Raises:
        UserError: If neither is there.
    """
    wanted = (
        f'set DATA_ROOT to the folder that holds {layout.folder}/ or '
        f'{layout.archive}.'
    )
    if not data_root:
        raise UserError(f'data_root: no folder was given; {wanted}')
    root = Path(data_root).expanduser()
    if root.is_file():
        return root
    if not root.is_dir():
        raise UserError(f'data_root: {root} does not exist; {wanted}')
    for folder in (root, root / layout.folder):
        if folder.name == layout.folder and folder.is_dir():
            return folder
        if (folder / layout.meta).is_file():
            return folder
    archive = root / layout.archive
    if not archive.is_file():
        raise UserError(
            f'data_root: {root} holds neither {layout.folder}/ nor '
            f'{layout.archive}; {wanted}'
        )
    return archive


def read_files(
    source: Path, layout: Layout, wanted: Sequence[str]
) -> Dict[str, dict]:
    """Reads some files of the unpacked folder or of the archive.

    Args:
        source (Path): From :func:`find_cifar`.
        layout (Layout): Of the dataset.
        wanted (Sequence[str]): The files.

    Returns:
        dict[str, dict]: Content of each.

    Raises:
        UserError: If one is missing, or cannot be read.
    """
    if source.is_dir():
        contents = {
            name: _read_file(source / name)
            for name in wanted
            if (source / name).is_file()
        }
    else:
        contents = _read_archive(source, layout, wanted)
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise UserError(
            f'{source}: {", ".join(map(repr, missing))} of {layout.folder}/ '
            f'is missing; unpack {layout.archive} anew, or fetch it anew.'
        )
    return contents


def _read_file(path: Path) -> dict:
    with path.open('rb') as file:
        return load_pickle(file, str(path))


def _read_archive(
    path: Path, layout: Layout, wanted: Sequence[str]
) -> Dict[str, dict]:
    contents = {}
    try:
        # In one pass from front to end, at which gzip compares its checksum.
        with gzip.open(path) as unzipped:
            with tarfile.open(fileobj=unzipped, mode='r|') as archive:
                for member in archive:
                    where = PurePosixPath(member.name)
                    if (
                        member.isfile()
                        and where.parent.name == layout.folder
                        and where.name in wanted
                    ):
                        contents[where.name] = load_pickle(
                            archive.extractfile(member),
                            f'{path}: {member.name}',
                        )
            while unzipped.read(1 << 20):
                pass
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise UserError(
            f'{path}: this archive cannot be read ({type(error).__name__}: '
            f'{error}); {layout.archive}, whole, is wanted: fetch it anew.'
        ) from error
    return contents


def _read_classes(source: Path, layout: Layout) -> Tuple[str, ...]:
    names = read_files(source, layout, [layout.meta])[layout.meta].get(
        layout.names
    )
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        raise UserError(
            f'{source}: {layout.meta}: a list of class names is wanted as '
            f'{layout.names!r}, but it holds none.'
        )
    return tuple(names)


def _images_and_labels(
    name: str, content: dict, entry: str, classes: int
) -> Tuple[np.ndarray, List[int]]:
    pixels, labels = content.get('data'), content.get(entry)
    size = int(np.prod(SHAPE))
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.shape[1:] != (size,)
    ):
        raise UserError(
            f"{name}: images are wanted as 'data', an array of bytes of "
            f'shape (N, {size}), but there is '
            f'{getattr(pixels, "shape", None) or type(pixels).__name__}.'
        )
    if not isinstance(labels, list) or len(labels) != len(pixels):
        count = len(labels) if isinstance(labels, list) else 'no list of them'
        raise UserError(
            f'{name}: {len(pixels)} labels, one an image, are wanted as '
            f'{entry!r}, but there is {count}.'
        )
    for number, label in enumerate(labels):
        if not isinstance(label, int) or not 0 <= label < classes:
            raise UserError(
                f'{name}: label {label!r} of image {number} is no whole '
                f'number from 0 to {classes - 1}, the classes there are.'
            )
    # (N, 3072) -> (N, 3, 32, 32) -> (N, 32, 32, 3)
    return pixels.reshape(-1, *SHAPE).transpose(0, 2, 3, 1), labels
