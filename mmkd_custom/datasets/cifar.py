"""CIFAR-10 and CIFAR-100 from the original files, a few labels of them."""

from __future__ import annotations

import codecs
import gzip
import pickle
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Dict, List, Optional, Sequence, Type

import numpy as np
from mmpretrain.datasets import CIFAR10, CIFAR100

from ..errors import UserError
from ..registry import DATASETS
from .base import LabelledDataset, check_choice
from .domains import PathLike

#: MMPretrain's classes, which say how files and their entries are called.
FILES: Dict[str, Type[CIFAR10]] = dict(cifar10=CIFAR10, cifar100=CIFAR100)
_SHAPE = (3, 32, 32)
#: What a pickle of plain data and arrays may name. NumPy 2 moved its core;
#: Python 3 writes bytes in protocol 2 by ``encode``.
_ALLOWED = {
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    ('numpy.core.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0],
    ('numpy._core.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0],
    ('_codecs', 'encode'): codecs.encode,
}


@DATASETS.register_module()
class CIFAR(LabelledDataset, CIFAR10):
    """CIFAR-10 or CIFAR-100 in the original python format, offline.

    Reads the unpacked folder (``cifar-100-python``, ``cifar-10-batches-py``)
    or the ``.tar.gz`` itself, which is not unpacked to disk. The files are
    pickles, and those that name anything but plain data and arrays are
    refused. From Krizhevsky, "Learning multiple layers of features from tiny
    images", 2009.

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
        **kwargs: Arguments of :class:`LabelledDataset`;
            ``labels_per_class=4`` of CIFAR-100 is the 400-label protocol.

    Raises:
        UserError: If the files are missing, truncated, damaged or hold
            anything but images and labels, or an option is out of range.
    """

    def __init__(
        self,
        data_root: str,
        name: str = 'cifar10',
        split: str = 'train',
        **kwargs: Any,
    ) -> None:
        check_choice('name', name, FILES)
        check_choice('split', split, ('train', 'test'))
        self.name = name
        self.files = FILES[name]
        self.source = _find(data_root, self.files)
        self.origin = (str(self.source.resolve()), name, split)
        meta, key = self.files.meta['filename'], self.files.meta['key']
        classes = self._read([meta])[meta].get(key)
        if not isinstance(classes, list) or not classes:
            raise UserError(
                f'{self.source}: {meta}: expected class names as {key!r}, got '
                f'{classes!r}.'
            )
        super().__init__(
            data_root=str(self.source),
            split=split,
            metainfo=dict(classes=tuple(map(str, classes))),
            download=False,
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img`` (32, 32, 3), R, G, B, and ``gt_label``."""
        files = getattr(self.files, f'{self.split}_list')
        samples = []
        for file, content in self._read([name for name, _ in files]).items():
            pixels = content.get('data')
            labels = content.get('labels', content.get('fine_labels'))
            self._check(file, pixels, labels)
            # (N, 3072) -> (N, 3, 32, 32) -> (N, 32, 32, 3)
            images = pixels.reshape(-1, *_SHAPE).transpose(0, 2, 3, 1)
            samples += [
                dict(img=image, gt_label=label)
                for image, label in zip(images, labels)
            ]
        labels = [sample['gt_label'] for sample in samples]
        kept = self.keep(f'{self.name!r} {self.split!r}', labels)
        return [samples[index] for index in kept]

    def _check(self, file: str, pixels: Any, labels: Any) -> None:
        shape, size = np.shape(pixels), int(np.prod(_SHAPE))
        if getattr(pixels, 'dtype', None) != np.uint8 or shape[1:] != (size,):
            raise UserError(
                f"{self.source}: {file}: expected 'data', an array of bytes "
                f'of shape (N, {size}), got {type(pixels).__name__} {shape}.'
            )
        labels = labels if isinstance(labels, list) else []
        valid = range(len(self.CLASSES))
        wrong = [label for label in labels if label not in valid]
        if wrong or len(labels) != len(pixels):
            raise UserError(
                f'{self.source}: {file}: expected {len(pixels)} labels from 0 '
                f'to {valid[-1]}, got {len(labels)} labels, of them {wrong}.'
            )

    def _read(self, names: Sequence[str]) -> Dict[str, dict]:
        """Reads files of the folder or of the archive."""
        found: Dict[str, dict] = {}
        if self.source.is_dir():
            for path in map(self.source.joinpath, names):
                if path.is_file():
                    with path.open('rb') as file:
                        found[path.name] = _load(file, str(path))
        else:
            found = _read_archive(self.source, self.files, names)
        missing = [name for name in names if name not in found]
        if missing:
            raise UserError(
                f'{self.source}: expected {", ".join(map(repr, missing))} of '
                f'{self.files.base_folder}/, got no such file; fetch '
                f'{self.files.filename} anew.'
            )
        return {name: found[name] for name in names}


def _find(data_root: Optional[PathLike], files: Type[CIFAR10]) -> Path:
    """Finds the unpacked folder, else the archive."""
    if data_root:
        root = Path(data_root).expanduser()
        for folder in (root, root / files.base_folder):
            named = folder.name == files.base_folder and folder.is_dir()
            if named or (folder / files.meta['filename']).is_file():
                return folder
        for archive in (root, root / files.filename):
            if archive.is_file():
                return archive
    raise UserError(
        f'data_root: expected a folder with {files.base_folder}/ or '
        f'{files.filename}, got {str(data_root)!r}; set DATA_ROOT.'
    )


def _read_archive(
    path: Path, files: Type[CIFAR10], names: Sequence[str]
) -> Dict[str, dict]:
    found = {}
    try:
        with gzip.open(path) as unzipped:
            with tarfile.open(fileobj=unzipped, mode='r|') as archive:
                for member in archive:
                    place = PurePosixPath(member.name)
                    if (
                        place.parent.name == files.base_folder
                        and place.name in names
                        and member.isfile()
                    ):
                        file = archive.extractfile(member)
                        found[place.name] = _load(file, f'{path}: {place}')
            # gzip compares its checksum at the very end.
            while unzipped.read(1 << 20):
                pass
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise UserError(
            f'{path}: expected {files.filename}, whole, got '
            f'{type(error).__name__}: {error}; fetch it anew.'
        ) from error
    return found


# The one in Python: a damaged byte has the one in C reserve any memory.
class _Unpickler(pickle._Unpickler):
    """A pickle is a program; this one can call nothing of consequence."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UserError(
                f'expected plain data and arrays, got {module}.{name}, which '
                'may be harmful and was not loaded.'
            )
        return _ALLOWED[module, name]


def _load(file: BinaryIO, name: str) -> dict:
    try:
        # Texts of Python 2, which wrote the official files, are bytes.
        content = _Unpickler(file, encoding='latin1').load()
    except UserError as error:
        raise UserError(f'{name}: {error}') from None
    # Damaged pickles raise nearly any exception.
    except Exception as error:
        raise UserError(
            f'{name}: expected a pickle, got {type(error).__name__}: {error}; '
            'it is truncated or damaged, fetch it anew.'
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f'{name}: expected a dict, got {type(content).__name__}.'
        )
    return content
