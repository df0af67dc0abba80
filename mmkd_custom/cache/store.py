"""Teacher outputs by (sample, view) in memory-mapped files."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from ..errors import UserError
from ..models.outputs import MAPS
from .files import (
    CHECKSUMS_FILE,
    DTYPES,
    MANIFEST_FILE,
    check_dtype,
    create,
    entry_bytes,
    file_name,
    open_array,
)
from .manifest import check_manifest

#: 2: the manifest holds the configs of teacher and pipelines.
FORMAT = 2


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
        shapes (Mapping[str, tuple[int]]): Shape of one entry of each array,
            by the path of the output: ``feature``, ``maps.0``, ``more.kd``.
        dtype (str): 'float16' or 'float32' on disk. Defaults to 'float16'.

    Attributes:
        created (bool): Whether it was made anew.
        outputs (tuple[str]): What it holds, as networks are asked for it.
        writable (bool): Whether entries can be written.

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
        check_dtype(dtype)
        # A link to another disk: the files are made, and room is looked for,
        # where it leads.
        self.folder = Path(folder).expanduser().resolve()
        self.samples, self.views, self.dtype = samples, views, dtype
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.outputs = tuple(dict.fromkeys(map(output_of, self.shapes)))
        self.manifest = dict(
            format=FORMAT,
            samples=samples,
            views=views,
            dtype=dtype,
            shapes={name: list(shape) for name, shape in self.shapes.items()},
            **manifest,
        )
        path = self.folder / MANIFEST_FILE
        self.created = not path.is_file() and create(
            self.folder, self.manifest, samples * views, self.shapes, dtype
        )
        check_manifest(path, self.manifest)
        opened = {
            name: open_array(
                self.folder / file_name(name, dtype),
                DTYPES[dtype],
                (samples, views, *shape),
            )
            for name, shape in self.shapes.items()
        }
        self._checksums, writable = open_array(
            self.folder / CHECKSUMS_FILE, np.uint32, (samples, views)
        )
        self._arrays = {name: array for name, (array, _) in opened.items()}
        self.writable = writable and all(w for _, w in opened.values())

    @property
    def nbytes(self) -> int:
        """int: Bytes of all files but the manifest."""
        entry = entry_bytes(self.shapes, self.dtype)
        return self.samples * self.views * entry

    @property
    def grid(self) -> Optional[Tuple[int, int]]:
        """tuple[int, int]: Of the tokens, if it holds any."""
        return tuple(self.manifest.get('grid') or ()) or None

    def present(
        self, samples: torch.Tensor, views: torch.Tensor
    ) -> torch.Tensor:
        """Whether entries (B,) are there, (B,) bool, without reading them."""
        found = self._checksums[samples.numpy(), views.numpy()] != 0
        return torch.from_numpy(np.asarray(found))

    def count_missing(self) -> int:
        """Returns the number of entries that are not there."""
        entries = self.samples * self.views
        return entries - int(np.count_nonzero(self._checksums))

    def missing(self) -> np.ndarray:
        """Returns sample and view of entries that are not there, (M, 2)."""
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
            tuple: Each array (B, ...) in float32, and which entries are
            right, (B,) bool; the others hold anything.
        """
        rows, columns = samples.numpy(), views.numpy()
        raw = {
            name: np.ascontiguousarray(array[rows, columns])
            for name, array in self._arrays.items()
        }
        wanted = np.asarray(self._checksums[rows, columns])
        right = (wanted != 0) & (wanted == _checksums(raw, len(rows)))
        return _float32(raw), torch.from_numpy(right)

    def write(
        self,
        samples: torch.Tensor,
        views: torch.Tensor,
        outputs: Mapping[str, torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Writes entries.

        Args:
            samples (Tensor): (B,) long.
            views (Tensor): (B,) long.
            outputs (Mapping[str, Tensor]): Each array (B, ...).

        Returns:
            dict[str, Tensor]: Each array (B, ...) in float32, as
            :meth:`read` returns it from now on.

        Raises:
            UserError: If nothing can be written there, or a value does not
                fit into the store's dtype.
        """
        if not self.writable:
            raise UserError(
                f'cache {self.folder}: entries are missing or damaged, but '
                'it cannot be written to; let this user write there, or '
                'give another cache_dir.'
            )
        rows, columns = samples.numpy(), views.numpy()
        raw = {
            name: self._rounded(name, outputs[name]) for name in self.shapes
        }
        for name, values in raw.items():
            self._arrays[name][rows, columns] = values
        # After the entries: one without its checksum is not there.
        self._checksums[rows, columns] = _checksums(raw, len(rows))
        return _float32(raw)

    def flush(self) -> None:
        """Has the operating system write all entries to disk."""
        if self.writable:
            for array in (*self._arrays.values(), self._checksums):
                array.flush()

    def _rounded(self, name: str, values: torch.Tensor) -> np.ndarray:
        values = values.detach().cpu().float().numpy()
        if values.shape[1:] != self.shapes[name]:
            raise UserError(
                f'cache {self.folder}: expected {name} of shape '
                f'{self.shapes[name]} for an image, got {values.shape[1:]}; '
                'all images must have one size.'
            )
        with np.errstate(over='ignore'):
            # Row by row in memory, as checksums are computed of it.
            rounded = values.astype(DTYPES[self.dtype], order='C')
        if not np.isfinite(rounded).all():
            raise UserError(
                f'cache {self.folder}: expected values that are finite in '
                f'{self.dtype}, but the {name} of the teacher holds another; '
                + (
                    "set cache_dtype='float32'."
                    if np.isfinite(values).all()
                    else 'look at the teacher and its dtype.'
                )
            )
        return rounded


def output_of(name: str) -> str:
    """Returns the output that an array is of: 'maps' of 'maps.0'."""
    return MAPS if name.startswith(f'{MAPS}.') else name


def _float32(raw: Mapping[str, np.ndarray]) -> Dict[str, torch.Tensor]:
    return {name: torch.from_numpy(v).float() for name, v in raw.items()}


def _checksums(raw: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Computes a checksum of each of a number of entries, (B,) uint32."""
    sums = np.zeros(count, np.uint32)
    views = [
        memoryview(values).cast('B') if values.size else memoryview(b'')
        for values in raw.values()
    ]
    sizes = [len(view) // max(count, 1) for view in views]
    for position in range(count):
        value = 0
        for view, size in zip(views, sizes):
            start = position * size
            value = zlib.crc32(view[start : start + size], value)
        # 0 says that an entry is not there.
        sums[position] = value or 1
    return sums
