"""A teacher that is asked once about each view of each sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmpretrain.structures import DataSample

from ..errors import UserError, nearest
from ..models.batch import send
from ..models.outputs import FEATURE, LOGITS, TOKENS, Outputs
from ..models.teachers.base import FrozenTeacher
from ..models.teachers.wrappers.base import build_wrapped, mirrored
from ..registry import MODELS
from .store import FeatureStore, check_dtype

#: What can be cached: one array of one shape for every image.
CACHEABLE = (FEATURE, LOGITS, TOKENS)

#: Prepared images (N, 3, H, W) of some samples by (index, view).
Fetch = Callable[[List[Tuple[int, int]]], torch.Tensor]


@MODELS.register_module()
class CachedTeacher(FrozenTeacher):
    """Another teacher, whose outputs are kept on disk by (sample, view).

    With seeded views of which there are K, an output is a pure function of
    (sample, view) (DESIGN decisions 7 and 8): it is computed when it is first
    wanted and read from then on, in this run and in every other one that has
    the same cache. What a distiller gets is always the value as stored, so a
    run that fills the cache and one that reads it compute the same.

    ``TeacherCacheHook`` opens the cache when training starts, and refuses one
    of another teacher, preprocessing, dataset or seed. Asked about images
    directly, it answers as the other teacher does. A standardised feature is
    stored as it was before.

    Args:
        teacher (dict | FrozenTeacher): The teacher that is asked.
        cache_dir (str, optional): Folder of the cache; runs that share it
            share its entries. None is ``teacher_cache`` in the run's work
            directory. Defaults to None.
        cache_dtype (str): 'float16' (relative error at most 2^-11, about
            5e-4, for magnitudes from 6.1e-5 to 65504; absolute error at most
            3e-8 below) or 'float32' (exact), on disk. Defaults to 'float16'.
        outputs (Sequence[str], optional): What is kept, of 'feature',
            'logits' and 'tokens' (patch tokens; many times as large). None
            keeps what the distiller asks for; name more to share the cache
            with runs that ask for more. Defaults to None.

    Attributes:
        teacher (FrozenTeacher): The teacher that is asked.
        store (FeatureStore, optional): None until training starts.
        fetch (Callable, optional): Makes prepared images (N, 3, H, W) of
            samples by (index, view), likewise.

    Raises:
        UserError: If an option has no such value.
    """

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
                f'teacher: cache_dir={cache_dir!r}, but the path of a folder '
                'or None is wanted.'
            )
        if not isinstance(outputs, (list, tuple, type(None))):
            raise UserError(
                f'teacher: outputs={outputs!r}, but a list of names or None '
                'is wanted.'
            )
        for name in outputs or ():
            if name not in CACHEABLE:
                raise UserError(
                    f'teacher: outputs: {name!r} cannot be cached '
                    f'({nearest(str(name), CACHEABLE)}).'
                )
        inner = build_wrapped(teacher, 'teacher.teacher', {})
        if isinstance(inner, CachedTeacher):
            raise UserError(
                'teacher.teacher: is a CachedTeacher inside a CachedTeacher; '
                'name the teacher itself.'
            )
        super().__init__(**mirrored(inner))
        # The very object: it may do more than its options say.
        self.preparation = inner.preparation
        # An assignment would cast what is inside, of which parts may be in
        # other dtypes.
        self.add_module('teacher', inner)
        self.cache_dir = cache_dir
        self.cache_dtype = cache_dtype
        self.outputs = None if outputs is None else tuple(outputs)
        self.name = inner.name
        self.weights = inner.weights
        self.feature_dim = inner.feature_dim
        self.num_classes = inner.num_classes
        self.offers = inner.offers
        self.dims = inner.dims
        self.store: Optional[FeatureStore] = None
        self._grid: Optional[Tuple[int, int]] = None
        self.fetch: Optional[Fetch] = None

    def __getattr__(self, name: str) -> Any:
        # Whatever else the other teacher has, such as the names of its
        # classes: who looks for it need not know of the cache.
        try:
            return super().__getattr__(name)
        except AttributeError:
            inner = self.__dict__.get('_modules', {}).get('teacher')
            if inner is None or name.startswith('_'):
                raise
            return getattr(inner, name)

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Asks the other teacher.

        Args:
            inputs (Tensor): (N, 3, H, W), normalised for it.
            wants (Sequence[str]): Names out of ``offers``.

        Returns:
            Outputs: What it gives.
        """
        return self.teacher(inputs, wants)

    def digest(self) -> str:
        """Computes the other teacher's digest: the cache is no weight."""
        return self.teacher.digest()

    def kept(self, wants: Sequence[str]) -> Tuple[str, ...]:
        """Gives what the cache of a distiller keeps.

        Args:
            wants (Sequence[str]): What the distiller asks for.

        Returns:
            tuple[str]: In the order of :data:`CACHEABLE`.

        Raises:
            UserError: If that cannot be cached, or ``outputs`` leaves it out
                or names what the teacher does not offer.
        """
        kept = tuple(wants if self.outputs is None else self.outputs)
        for name in (*wants, *kept):
            if name not in CACHEABLE:
                raise UserError(
                    f'teacher {self.name}: the distiller asks for {name}, '
                    f'but only {", ".join(CACHEABLE)} can be cached; take '
                    'the teacher out of its CachedTeacher.'
                )
            if name not in kept:
                raise UserError(
                    f'teacher {self.name}: the distiller asks for {name}, '
                    f'but outputs={list(kept)} of its CachedTeacher leaves '
                    'it out.'
                )
            if name not in self.offers:
                raise UserError(
                    f'teacher {self.name}: outputs names {name}, but it '
                    f'offers only {", ".join(self.offers)}.'
                )
        return tuple(name for name in CACHEABLE if name in kept)

    def bind(
        self,
        store: FeatureStore,
        fetch: Fetch,
        grid: Optional[Tuple[int, int]] = None,
    ) -> None:
        """Takes a cache into use.

        Args:
            store (FeatureStore): Its outputs are those that are kept.
            fetch (Callable): Makes images again for an entry that turns out
                to be damaged, in a batch that came without them.
            grid (tuple[int, int], optional): Of the tokens. Defaults to None.
        """
        self.store, self.fetch, self._grid = store, fetch, grid

    def recall(
        self,
        samples: List[DataSample],
        wants: Sequence[str],
        images: Callable[[List[int]], Optional[torch.Tensor]],
    ) -> Outputs:
        """Gives the outputs of a batch: reads, and asks about the rest.

        Args:
            samples (list[DataSample]): B samples with ``sample_idx`` and
                ``view`` in their metainfo.
            wants (Sequence[str]): What is wanted, of what is kept.
            images (Callable): Images of given positions of the batch,
                prepared the teacher's way (N, 3, H, W); None if the batch
                came without.

        Returns:
            Outputs: Exactly what is wanted, in float32, on the
            teacher's device.

        Raises:
            UserError: If no cache is open, or the samples are not of a
                TwoStreamDataset with its number of views.
        """
        if self.store is None:
            raise UserError(
                'teacher: its cache is not open; add '
                "dict(type='mmkd_custom.TeacherCacheHook') to custom_hooks."
            )
        keys = _keys(samples, self.store.views)
        outputs, right = self.store.read(*keys.unbind(1))
        if not right.all():
            self._complete(outputs, keys, right, images)
        device = next(self.parameters()).device
        output = Outputs(
            **{name: send(outputs[name], device) for name in wants}
        )
        if TOKENS in wants:
            output.grid = self._grid
        return self.standardized(output)

    @torch.no_grad()
    def _complete(
        self,
        outputs: Dict[str, torch.Tensor],
        keys: torch.Tensor,
        right: torch.Tensor,
        images: Callable[[List[int]], Optional[torch.Tensor]],
    ) -> None:
        """Computes, stores and fills in what is missing."""
        named = list(map(tuple, keys.tolist()))
        wrong = (~right).nonzero().flatten().tolist()
        # Once each: the same entry twice must not be two values.
        first = {named[position]: position for position in reversed(wrong)}
        asked = sorted(first.values())
        inputs = images(asked)
        if inputs is None:
            inputs = self.fetch([named[position] for position in asked])
        fresh = self.teacher(inputs, tuple(outputs)).named_tensors()
        stored = self.store.write(*keys[asked].unbind(1), fresh)
        source = {position: row for row, position in enumerate(asked)}
        rows = [source[first[named[position]]] for position in wrong]
        for name, values in stored.items():
            outputs[name][wrong] = values[rows]


def _keys(samples: List[DataSample], views: int) -> torch.Tensor:
    """Gives sample and view of each, (B, 2) long."""
    try:
        keys = torch.tensor(
            [(s.metainfo['sample_idx'], s.metainfo['view']) for s in samples]
        )
    except KeyError as error:
        raise UserError(
            f'a sample has no {error.args[0]} in its metainfo, but a '
            'CachedTeacher wants samples of a TwoStreamDataset.'
        ) from error
    if int(keys[:, 1].max()) >= views:
        raise UserError(
            f'view {int(keys[:, 1].max())} was drawn, but the cache holds '
            f'{views}; num_views of the sampler must not change during a run.'
        )
    return keys
