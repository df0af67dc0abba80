"""The nearest neighbours of features by cosine."""

from __future__ import annotations

from types import ModuleType
from typing import Optional, Tuple

import numpy as np
import torch

from ..errors import UserError
from ..utils.progress import progress

#: The most images that are compared each with each without a GPU.
EXACT = 50_000
#: Cells that an approximate search looks into, of 2 · √N.
PROBES = 64
#: Times as many as are wanted are compared exactly in the end.
_REFINED = 5
#: Images a cell that the cells are found by; faiss warns of fewer than 39.
_SAMPLE = 50
#: Rows and columns of one block of cosines: 64 MiB, and 2 GiB on a GPU.
_BLOCK = (1024, 16384)
_GPU_BLOCK = (8192, 65536)

Neighbours = Tuple[np.ndarray, np.ndarray]


def nearest(
    unit: torch.Tensor, k: int, exact_up_to: int = EXACT, seed: int = 0
) -> Tuple[Neighbours, bool]:
    """Finds the neighbours of every row among the others.

    Each is compared with each where there is a GPU or that is soon done;
    otherwise the search is approximate, by :func:`approximate_neighbours`.

    Args:
        unit (Tensor): (N, D), float32 rows of length 1 or 0, on the CPU.
        k (int): Neighbours of each; fewer where there are not as many others.
        exact_up_to (int): The largest N that is searched exactly without a
            GPU. Defaults to 50 000.
        seed (int): Of the approximate search. Defaults to 0.

    Returns:
        tuple[tuple[ndarray, ndarray], bool]: Positions (N, k), int64, −1
        where none was found, with their cosines (N, k), float32; and whether
        the search was exact.

    Raises:
        UserError: If the search is approximate and there is no ``faiss``.
    """
    k = min(k, len(unit) - 1)
    if k < 1:
        empty = np.empty((len(unit), 0))
        return (empty.astype(np.int64), empty.astype(np.float32)), True
    if torch.cuda.is_available():
        return exact_neighbours(unit.cuda(), k, _GPU_BLOCK), True
    if len(unit) <= exact_up_to:
        return exact_neighbours(unit, k), True
    return approximate_neighbours(unit, k, seed=seed), False


def exact_neighbours(
    unit: torch.Tensor, k: int, block: Tuple[int, int] = _BLOCK
) -> Neighbours:
    """Compares every row with every other one, a block at a time.

    Costs N² · D multiplications on the device where ``unit`` is.

    Args:
        unit (Tensor): (N, D).
        k (int): Neighbours of each, less than N.
        block (tuple[int, int]): Rows and columns of cosines that are held.
            Defaults to (1024, 16384).

    Returns:
        tuple[ndarray, ndarray]: As in :func:`nearest`, nearest first.
    """
    rows, columns = block
    count = len(unit)
    positions, cosines = [], []
    with progress('graph', count, 'images') as bar:
        for i in range(0, count, rows):
            left = unit[i : i + rows]
            best = left.new_empty((len(left), 0))
            where = best.long()
            for j in range(0, count, columns):
                found = left @ unit[j : j + columns].T
                # Nobody is a neighbour of itself.
                found.diagonal(i - j).fill_(-2)
                found, at = found.topk(min(k, found.shape[1]))
                best = torch.cat([best, found], 1)
                where = torch.cat([where, at + j], 1)
                best, at = best.topk(min(k, best.shape[1]))
                where = where.gather(1, at)
            positions.append(where.cpu())
            cosines.append(best.cpu())
            bar.advance(len(left))
    return torch.cat(positions).numpy(), torch.cat(cosines).numpy()


def approximate_neighbours(
    unit: torch.Tensor,
    k: int,
    cells: Optional[int] = None,
    probes: int = PROBES,
    seed: int = 0,
) -> Neighbours:
    """Compares every row with those in the cells that are nearest to it.

    By faiss: k-means divides the rows among cells (``IVF``), each row is
    compared with the members of ``probes`` of them by codes of 4 bits for two
    numbers (``PQ…x4fs``), and the best 5 · (k + 1) again with all digits
    (``RFlat``). Holds one copy of ``unit`` and D / 4 bytes a row.

    Args:
        unit (Tensor): (N, D), float32 on the CPU.
        k (int): Neighbours of each.
        cells (int, optional): How many. Defaults to None, 2 · √N.
        probes (int): Cells that are looked into. Defaults to 64.
        seed (int): Of the samples that cells and codes are found by. Defaults
            to 0.

    Returns:
        tuple[ndarray, ndarray]: As in :func:`nearest`, nearest first.

    Raises:
        UserError: If there is no ``faiss``.
    """
    faiss = _faiss(len(unit))
    faiss.omp_set_num_threads(torch.get_num_threads())
    count, width = unit.shape
    cells = cells or max(1, min(int(2 * count**0.5), count // _SAMPLE))
    # A code is for so many numbers as divide the width.
    codes = width if width % 2 else width // 2
    rows = unit.numpy()
    index = faiss.index_factory(
        width, f'IVF{cells},PQ{codes}x4fs,RFlat', faiss.METRIC_INNER_PRODUCT
    )
    index.k_factor = _REFINED
    inverted = faiss.downcast_index(faiss.extract_index_ivf(index))
    inverted.nprobe = probes
    inverted.cp.seed = inverted.pq.cp.seed = seed
    inverted.cp.max_points_per_centroid = _SAMPLE
    positions = np.full((count, k), -1, dtype=np.int64)
    cosines = np.full((count, k), -2, dtype=np.float32)
    size = 8192
    with progress('graph', count, 'images') as bar:
        index.train(rows)
        index.add(rows)
        for i in range(0, count, size):
            # One more, because each finds itself, unless k others are alike.
            near, at = index.search(rows[i : i + size], k + 1)
            itself = at == np.arange(i, i + len(at))[:, None]
            at[itself] = -1
            near[at < 0] = -2
            order = np.argsort(-near, axis=1, kind='stable')[:, :k]
            positions[i : i + size] = np.take_along_axis(at, order, 1)
            cosines[i : i + size] = np.take_along_axis(near, order, 1)
            bar.advance(len(at))
    return positions, cosines


def _faiss(count: int) -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            f'neighbours: expected the library faiss for {count} images '
            f'without a GPU, got an error as it was imported ({error}): pip '
            'install faiss-cpu.'
        ) from error
    return faiss
