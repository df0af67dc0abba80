"""Teacher outputs by (sample, view) in memory-mapped files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple, Union

import numpy as np
import torch

from ...errors import UserError
from ...files import write_atomic

MANIFEST_FILE = 'manifest.json'
CHECKSUMS_FILE = 'checksums.u32'
FORMAT = 1

DTYPES = {'float16': np.float16, 'float32': np.float32}
_SUFFIXES = {'float16': 'f16', 'float32': 'f32'}


class FeatureStore:
    """Outputs of n samples in K views, on disk.

    Every output is one file, an array (n, K, ...) that the operating system
    pages in as it is read, so opening takes no time and memory does not grow
    with n. Another file holds a checksum of each entry, 0 for one that is
    not there. An entry is taken only if its bytes have that checksum:
    whatever instant a writer was killed at, and whoever wrote at the same
    time, an entry is right or missing.

    Args:
        folder (str | Path): Where it is, or is made.
        manifest (Mapping[str, Any]): What the entries are a function of, as
            JSON holds it. A store with another one is refused.
        samples (int): Number of samples n.
        views (int): Number of views K.
        shapes (Mapping[str, tuple[int]]): Shape of one entry of each output.
        dtype (str): 'float16' or 'float32' on disk. Defaults to 'float16'.

    Attributes:
        created (bool): Whether it was made anew.

    Raises:
        UserError: If the folder holds something else or a store of other
            outputs, a file is truncated, the disk is too small, or nothing
            can be written there.
    """

    def __init__(
        self,
        folder: Union[str, Path],
        manifest: Mapping[str, Any],
        samples: int,
        views: int,
        shapes: Mapping[str, Sequence[int]],
        dtype: str = 'float16',
    ) -> None:
        if dtype not in DTYPES:
            raise UserError(
                f'cache: dtype={dtype!r} is not one of {", ".join(DTYPES)}.'
            )
        self.folder = Path(folder).expanduser()
        self.samples, self.views, self.dtype = samples, views, dtype
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.manifest = dict(
            format=FORMAT,
            samples=samples,
            views=views,
            dtype=dtype,
            shapes={name: list(shape) for name, shape in self.shapes.items()},
            **manifest,
        )
        self.created = not (self.folder / MANIFEST_FILE).is_file()
        if self.created:
            self._create()
        self._check_manifest()
        self._arrays = {
            name: self._open(self._file(name), DTYPES[dtype], shape)
            for name, shape in self.shapes.items()
        }
        self._checksums = self._open(
            self.folder / CHECKSUMS_FILE, np.uint32, ()
        )

    @property
    def nbytes(self) -> int:
        """int: Bytes of all files when every entry is there."""
        return store_bytes(self.samples, self.views, self.shapes, self.dtype)

    def present(
        self, samples: torch.Tensor, views: torch.Tensor
    ) -> torch.Tensor:
        """Says which entries are there, without reading them.

        Args:
            samples (Tensor): (B,) long.
            views (Tensor): (B,) long.

        Returns:
            Tensor: (B,) bool.
        """
        found = self._checksums[samples.numpy(), views.numpy()] != 0
        return torch.from_numpy(found)

    def missing(self) -> np.ndarray:
        """Lists the entries that are not there.

        Returns:
            np.ndarray: (M, 2) sample and view, views outermost.
        """
        view, sample = np.nonzero(np.asarray(self._checksums).T == 0)
        return np.stack([sample, view], 1)

    def read(
        self, samples: torch.Tensor, views: torch.Tensor
    ) -> Tuple[Dict[str, torch.Tensor], torch.Tensor]:
        """Reads entries.

        Args:
            samples (Tensor): (B,) long.
            views (Tensor): (B,) long.

        Returns:
            tuple: Each output (B, ...) in float32, and which entries are
            right, (B,) bool; the others hold anything.
        """
        rows, columns = samples.numpy(), views.numpy()
        raw = {
            name: np.ascontiguousarray(array[rows, columns])
            for name, array in self._arrays.items()
        }
        wanted = np.asarray(self._checksums[rows, columns])
        right = np.array(
            [
                checksum != 0 and checksum == _checksum(raw, position)
                for position, checksum in enumerate(wanted)
            ],
            dtype=bool,
        )
        outputs = {
            name: torch.from_numpy(values).float()
            for name, values in raw.items()
        }
        return outputs, torch.from_numpy(right)

    def write(
        self,
        samples: torch.Tensor,
        views: torch.Tensor,
        outputs: Mapping[str, torch.Tensor],
    ) -> None:
        """Writes entries.

        Args:
            samples (Tensor): (B,) long.
            views (Tensor): (B,) long.
            outputs (Mapping[str, Tensor]): Each output (B, ...).

        Raises:
            UserError: If a value does not fit into the store's dtype.
        """
        rows, columns = samples.numpy(), views.numpy()
        raw = {
            name: outputs[name]
            .detach()
            .cpu()
            .float()
            .numpy()
            .astype(DTYPES[self.dtype])
            for name in self._arrays
        }
        for name, values in raw.items():
            if not np.isfinite(values).all():
                raise UserError(
                    f'cache {self.folder}: the {name} of a teacher holds a '
                    f'value that is not finite in {self.dtype}; give the '
                    "cache dtype='float32'."
                )
            self._arrays[name][rows, columns] = values
        # After the entries: one without its checksum is not there.
        self._checksums[rows, columns] = [
            _checksum(raw, position) for position in range(len(rows))
        ]

    def flush(self) -> None:
        """Has the operating system write all entries to disk."""
        for array in (*self._arrays.values(), self._checksums):
            array.flush()

    def _file(self, name: str) -> Path:
        return self.folder / f'{name}.{_SUFFIXES[self.dtype]}'

    def _create(self) -> None:
        """Makes the files beside their place, then moves them there."""
        parent = self.folder.parent
        try:
            parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(parent).free
            if self.nbytes > free:
                raise UserError(
                    f'cache {self.folder}: takes {self.nbytes / 1e9:.2f} GB, '
                    f'but {free / 1e9:.2f} GB of the disk are free; lower '
                    'num_views, take fewer outputs or another cache_dir.'
                )
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise UserError(
                    f'cache {self.folder}: holds files but no '
                    f'{MANIFEST_FILE}; give an empty or a new folder.'
                )
            making = Path(
                tempfile.mkdtemp(dir=parent, prefix=f'.{self.folder.name}.')
            )
            try:
                os.chmod(making, 0o777 & ~_umask())
                for name, shape in self.shapes.items():
                    entry = (
                        int(np.prod(shape))
                        * np.dtype(DTYPES[self.dtype]).itemsize
                    )
                    _allocate(
                        making / self._file(name).name,
                        self.samples * self.views * entry,
                    )
                _allocate(
                    making / CHECKSUMS_FILE, self.samples * self.views * 4
                )
                write_atomic(
                    making / MANIFEST_FILE,
                    (json.dumps(self.manifest, indent=2) + '\n').encode(),
                )
                os.rename(making, self.folder)
            except OSError:
                # Another process was quicker, and its store is as good.
                if not (self.folder / MANIFEST_FILE).is_file():
                    raise
                self.created = False
            finally:
                shutil.rmtree(making, ignore_errors=True)
        except OSError as error:
            raise UserError(
                f'cache {self.folder}: cannot be made '
                f'({type(error).__name__}: {error}).'
            ) from error

    def _check_manifest(self) -> None:
        path = self.folder / MANIFEST_FILE
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise UserError(
                f'cache {path}: is no JSON ({error}); delete the folder.'
            ) from error
        for field in {**self.manifest, **found}:
            ours, theirs = self.manifest.get(field), found.get(field)
            if ours != theirs:
                raise UserError(
                    f'cache {self.folder}: was made with {field}={theirs!r}, '
                    f'but this run has {ours!r}; give another cache_dir, or '
                    'delete this one.'
                )

    def _open(
        self, path: Path, kind: type, shape: Tuple[int, ...]
    ) -> np.memmap:
        shape = (self.samples, self.views, *shape)
        wanted = int(np.prod(shape)) * np.dtype(kind).itemsize
        size = path.stat().st_size if path.is_file() else None
        if size != wanted:
            raise UserError(
                f'cache {path}: '
                + ('is missing' if size is None else f'has {size} bytes')
                + f', but {wanted} are wanted; it was truncated or is no '
                'part of this cache: delete the folder.'
            )
        try:
            return np.memmap(path, kind, 'r+', shape=shape)
        except OSError as error:
            raise UserError(
                f'cache {path}: cannot be written ({error}).'
            ) from error


def store_bytes(
    samples: int,
    views: int,
    shapes: Mapping[str, Sequence[int]],
    dtype: str,
) -> int:
    """Computes what a store takes on disk.

    Args:
        samples (int): Number of samples n.
        views (int): Number of views K.
        shapes (Mapping[str, tuple[int]]): Shape of one entry of each output.
        dtype (str): 'float16' or 'float32'.

    Returns:
        int: Bytes, the checksums included.
    """
    numbers = sum(int(np.prod(shape)) for shape in shapes.values())
    entry = numbers * np.dtype(DTYPES[dtype]).itemsize + 4
    return samples * views * entry


def _checksum(raw: Mapping[str, np.ndarray], position: int) -> int:
    value = 0
    for values in raw.values():
        value = zlib.crc32(memoryview(values[position]).cast('B'), value)
    # 0 says that an entry is not there.
    return value or 1


def _allocate(path: Path, size: int) -> None:
    with open(path, 'wb') as file:
        # Zeros without writing them: blocks come as entries do.
        file.truncate(size)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
