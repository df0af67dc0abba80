"""A teacher that is asked once about each view of each sample."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log
from mmpretrain.structures import DataSample

from ..errors import UserError, nearest
from ..models.batch import Batch, send
from ..models.outputs import TOKENS, Outputs, from_named
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.wrappers.base import WrappedTeacher, build_wrapped
from ..registry import MODELS
from ..stages import TEACHER
from .files import check_dtype
from .store import FeatureStore, output_of

#: Prepared images (N, 3, H, W) of some samples by (index, view).
Fetch = Callable[[List[Tuple[int, int]]], torch.Tensor]


@MODELS.register_module()
class CachedTeacher(WrappedTeacher):
    """Another teacher, whose outputs are kept on disk by (sample, view).

    With seeded views of which there are K, an output is a pure function of
    (sample, view): it is computed when it is first wanted and read from then
    on, in this run and in every other one that has the same cache. What a
    distiller gets is always the value as stored, so a run that fills the
    cache and one that reads it compute the same.

    Where the dataset says that the teacher's images are ``clean``, an output
    is a function of the sample alone: it is kept once, whatever view of the
    sample the student sees, and the sampler may draw ever new ones.

    ``TeacherCacheHook`` opens the cache when training starts, and refuses one
    of another teacher, preprocessing, dataset or seed. Asked about images
    directly, it answers as the other teacher does. A standardised feature is
    stored as it was before.

    Args:
        teacher (dict | FrozenTeacher): The teacher that is asked.
        cache_dir (str, optional): Folder of the cache; runs that share it
            share its entries. None is ``teacher_cache`` in the run's work
            directory (``teacher_cache_<name>`` of one among several
            teachers). Defaults to None.
        cache_dtype (str): 'float16' (relative error at most 2^-11, about
            5e-4, for magnitudes from 6.1e-5 to 65504; absolute error at most
            3e-8 below) or 'float32' (exact), on disk. Defaults to 'float16'.
        outputs (Sequence[str], optional): What is kept, of what the teacher
            offers; tokens and maps are many times as large as a feature. None
            keeps what the distiller asks for; name more to share the cache
            with runs that ask for more. Defaults to None.

    Attributes:
        teacher (FrozenTeacher): The teacher that is asked.
        store (FeatureStore, optional): None until training starts.

    Raises:
        UserError: If an option has no such value.
    """

    #: It asks the teacher inside for what it is asked itself.
    transparent = True

    def __init__(
        self,
        teacher: Union[dict, FrozenTeacher],
        cache_dir: Union[str, Path, None] = None,
        cache_dtype: str = 'float16',
        outputs: Optional[Sequence[str]] = None,
    ) -> None:
        check_dtype(cache_dtype)
        if not isinstance(cache_dir, (str, Path, type(None))):
            raise UserError(
                'teacher: expected cache_dir to be the path of a folder or '
                f'None, got {cache_dir!r}.'
            )
        if not isinstance(outputs, (list, tuple, type(None))):
            raise UserError(
                'teacher: expected outputs to be a list of names or None, got '
                f'{outputs!r}.'
            )
        inner = build_wrapped(teacher, 'teacher.teacher', {})
        if isinstance(inner, CachedTeacher):
            raise UserError(
                'teacher.teacher: expected the teacher itself, got a '
                'CachedTeacher inside a CachedTeacher.'
            )
        for name in outputs or ():
            if name not in inner.offers:
                raise UserError(
                    f'teacher {inner.name}: expected outputs out of '
                    f'{", ".join(inner.offers)}, got {name!r} '
                    f'({nearest(str(name), inner.offers)}).'
                )
        super().__init__(inner)
        self.cache_dir = cache_dir
        self.cache_dtype = cache_dtype
        self.outputs = None if outputs is None else tuple(outputs)
        self.store: Optional[FeatureStore] = None
        self._fetch: Optional[Fetch] = None
        self._view, self._clean = TEACHER, False
        self._warned = False

    def digest(self) -> str:
        """Returns the other teacher's digest: the cache is no weight."""
        return self.teacher.digest()

    def kept(self, wants: Sequence[str]) -> Tuple[str, ...]:
        """Returns what is kept for a distiller that asks for ``wants``.

        Raises:
            UserError: If ``outputs`` leaves some out, or the teacher does not
                offer it.
        """
        kept = tuple(wants if self.outputs is None else self.outputs)
        for name in wants:
            if name not in kept:
                raise UserError(
                    f'teacher {self.name}: expected outputs of its '
                    f'CachedTeacher to name {name}, which the distiller asks '
                    f'for, got {list(kept)}.'
                )
            if name not in self.offers:
                raise UserError(
                    f'teacher {self.name}: expected to be asked for some of '
                    f'{", ".join(self.offers)}, got {name}.'
                )
        return tuple(name for name in self.offers if name in kept)

    def bind(
        self,
        store: FeatureStore,
        fetch: Fetch,
        view: str = TEACHER,
        clean: bool = False,
    ) -> None:
        """Takes a cache into use.

        Args:
            store (FeatureStore): The open cache.
            fetch (Callable): Makes images again for an entry that turns out
                to be damaged, in a batch that came without them.
            view (str): The images that it is about. Defaults to 'teacher'.
            clean (bool): Whether these are one a sample, of which view 0 is
                kept. Defaults to False.
        """
        self.store, self._fetch = store, fetch
        self._view, self._clean = view, clean

    def holds(self, keys: torch.Tensor, wants: Sequence[str]) -> bool:
        """Whether the store has it all of samples and views (B, 2)."""
        if not self._keeps(wants):
            return False
        samples, views = self._entries(keys).unbind(1)
        return bool(self.store.present(samples, views).all())

    @property
    def kept_views(self) -> int:
        """int: Views of a sample that the store keeps; 1 while it is shut."""
        return 1 if self.store is None else self.store.views

    def _entries(self, keys: torch.Tensor) -> torch.Tensor:
        """Returns where what is said of samples and views (B, 2) is kept."""
        return keys * torch.tensor([1, 0]) if self._clean else keys

    def _keeps(self, wants: Sequence[str]) -> bool:
        return self.store is not None and set(wants) <= {*self.store.outputs}

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Reads what is said of a batch, and asks about the rest.

        Args:
            batch (Batch): Its samples have ``sample_idx`` and ``view`` in
                their metainfo; images of what is missing are made anew if it
                has none.
            wants (Sequence[str]): Names out of ``offers``. If some is not
                kept, or no cache is open, the other teacher is asked.
            view (str, optional): Which images. Of any but those for teachers
                nothing is kept. Defaults to None.

        Returns:
            Outputs: Exactly what ``wants`` names, in float32, on the teacher's
            device.

        Raises:
            UserError: If the samples are not of a TwoStreamDataset with its
                number of views.
        """
        if view not in (None, TEACHER):
            return super().ask(batch, wants, view)
        if self.store is None and not self._warned:
            self._warned = True
            print_log(
                'CachedTeacher: its cache is not open, so it computes all; '
                "add dict(type='mmkd_custom.TeacherCacheHook') to "
                'custom_hooks.',
                logger='current',
                level=logging.WARNING,
            )
        if not self._keeps(wants):
            return super().ask(batch, wants, view)
        keys = self._entries(_keys(batch.samples))
        _check_views(keys, self.store.views)
        values, right = self.store.read(*keys.unbind(1))
        if not right.all():
            self._complete(values, keys, right, batch)
        device = next(self.parameters()).device
        output = from_named(
            {
                name: send(array, device)
                for name, array in values.items()
                if output_of(name) in wants
            },
            self.store.grid if TOKENS in wants else None,
        )
        return self.standardized(output)

    @torch.no_grad()
    def _complete(
        self,
        values: Dict[str, torch.Tensor],
        keys: torch.Tensor,
        right: torch.Tensor,
        batch: Batch,
    ) -> None:
        """Computes, stores and fills in what is missing."""
        named = list(map(tuple, keys.tolist()))
        wrong = (~right).nonzero().flatten().tolist()
        # Once each: the same entry twice must not be two values.
        first = {named[position]: position for position in reversed(wrong)}
        asked = sorted(first.values())
        images = batch.views.get(self._view)
        if images is None:
            inputs = self._fetch([named[position] for position in asked])
        else:
            if len(asked) < len(images):
                images = images[send(torch.tensor(asked), images.device)]
            inputs = self.prepare(images, *batch.pixels)
        fresh = self.teacher(inputs, self.store.outputs).named_tensors()
        stored = self.store.write(*keys[asked].unbind(1), fresh)
        source = {position: row for row, position in enumerate(asked)}
        rows = [source[first[named[position]]] for position in wrong]
        for name, found in stored.items():
            values[name][wrong] = found[rows]


def _keys(samples: List[DataSample]) -> torch.Tensor:
    """Returns sample and view of each, (B, 2) long."""
    try:
        return torch.tensor(
            [(s.metainfo['sample_idx'], s.metainfo['view']) for s in samples]
        )
    except KeyError as error:
        raise UserError(
            'CachedTeacher: expected samples of a TwoStreamDataset, got one '
            f'without {error.args[0]} in its metainfo.'
        ) from error


def _check_views(keys: torch.Tensor, views: int) -> None:
    """Refuses views that the cache does not hold."""
    if int(keys[:, 1].max()) >= views:
        raise UserError(
            f'CachedTeacher: expected views below {views}, which the cache '
            f'holds, got {int(keys[:, 1].max())}; num_views of the sampler '
            'must not change during a run.'
        )
