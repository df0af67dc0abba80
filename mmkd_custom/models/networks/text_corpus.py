"""Sentences as a network: asked about any batch, it draws some of them."""

from __future__ import annotations

from typing import Any, List, Optional, Protocol, Sequence, Union

import numpy as np
import torch
from mmengine.dist import get_dist_info

from ...errors import UserError
from ...registry import MODELS
from ...stages import TEACHER
from ...utils.shuffle import shuffled
from ..batch import Batch, send
from ..options import checked_size
from ..outputs import FEATURE, Outputs, Shape
from ..source import Source
from .base import OwnedNetwork


class Texts(Protocol):
    """Embedded sentences, such as ``mmkd_custom.texts.EmbeddedTexts``."""

    width: int

    def __len__(self) -> int: ...

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """Returns the embeddings of some rows, (M, D) float32."""


@MODELS.register_module()
class TextCorpus(OwnedNetwork):
    """Features of texts that have nothing to do with the images of a batch.

    ``TextCorpusHook`` has the text tower of a teacher embed every sentence
    once, before the first step, and keeps that on disk. From then on
    ``feature`` is a draw of L2-normalised embeddings (M, D): the sentences are
    walked as an endless sequence of permutations, each of which follows from
    the seed of the run and its number, and where the walk stands follows from
    the iteration. All processes walk one sequence, of which each takes its
    own part, so images and texts are shuffled independently, and a resumed
    run draws the same.

    Args:
        file (str, optional): A text file in UTF-8, one sentence a line, of any
            size. Defaults to None.
        class_names (Sequence[str], optional): In its place, names of classes,
            whose prompts are the sentences; in a config, 'auto' is those of
            the labelled dataset. Defaults to None.
        templates (str | Sequence[str]): Their prompts: see
            :func:`~mmkd_custom.models.teachers.open_clip.zero_shot.load_templates`.
            Defaults to 'general'.
        of (str): The teacher whose text tower embeds them. Defaults to
            'teacher'.
        batch_size (int, optional): M, texts a step of one process. None is as
            many as the batch has images. Defaults to None.
        nearest (int, optional): Keeps only the sentences that are among this
            many nearest to one of the training images, by the teacher's
            embeddings, each wording once. None keeps all. Defaults to None.
        cache_dir (str, optional): Folder of the embeddings, for runs that
            share them. None is ``<name>_cache`` in the work directory.
            Defaults to None.
        cache_dtype (str): 'float16' or 'float32', on disk. Defaults to
            'float16'.

    Attributes:
        iteration (int): That of the run, which the hook tells.
        seed (int): That of the walk, likewise.

    Raises:
        UserError: If it is told no sentences, or two kinds of them, or a size
            or ``cache_dtype`` is none.
    """

    def __init__(
        self,
        file: Optional[str] = None,
        class_names: Optional[Sequence[str]] = None,
        templates: Union[str, Sequence[str]] = 'general',
        of: str = TEACHER,
        batch_size: Optional[int] = None,
        nearest: Optional[int] = None,
        cache_dir: Optional[str] = None,
        cache_dtype: str = 'float16',
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if (file is None) == (class_names is None):
            raise UserError(
                f'{name}: expected the file of a corpus or class_names, got '
                f'{"neither" if file is None else "both"}.'
            )
        for option, size in dict(
            batch_size=batch_size, nearest=nearest
        ).items():
            if size is not None:
                checked_size(f'{name}.{option}', size)
        if cache_dtype not in ('float16', 'float32'):
            raise UserError(
                f"{name}.cache_dtype: expected 'float16' or 'float32', got "
                f'{cache_dtype!r}.'
            )
        self.file, self.of_teacher = file, of
        self.class_names, self.templates = class_names, templates
        self.batch_size, self.nearest = batch_size, nearest
        self.cache_dir, self.cache_dtype = cache_dir, cache_dtype
        if nearest is not None:
            # So that a cache keeps what is asked of every image.
            self.ahead = (Source(of, None, FEATURE),)
        self.iteration, self.seed = 0, 0
        self._held: List[Texts] = []

    def attach(self, distiller: Any) -> None:
        """Takes over the width of the teacher's embedding."""
        if self.of_teacher not in distiller.teachers:
            raise UserError(
                f'{type(self).__name__}.of: expected one of the teachers '
                f'{", ".join(distiller.teachers)}, got {self.of_teacher!r}.'
            )
        place = Source(self.of_teacher, None, FEATURE)
        self.shapes = {FEATURE: Shape((distiller.shape_of(place).width,))}

    def fill(self, texts: Texts) -> None:
        """Takes embedded sentences into use.

        Args:
            texts (Texts): As wide as the teacher's feature.

        Raises:
            UserError: If they are not, or there is none.
        """
        width = self.shapes[FEATURE].width
        if texts.width != width or not len(texts):
            raise UserError(
                f'{type(self).__name__}: expected texts of width {width}, as '
                f'the feature of {self.of_teacher} has, got {len(texts)} of '
                f'width {texts.width}.'
            )
        self._held = [texts]

    def rows(self, images: int) -> np.ndarray:
        """Returns which sentences are drawn now, by this process.

        Args:
            images (int): As many, unless ``batch_size`` says otherwise.
        """
        rank, world_size = get_dist_info()
        size, count = self.batch_size or images, len(self._held[0])
        first = (self.iteration * world_size + rank) * size
        passes, places = np.divmod(np.arange(first, first + size), count)
        rows = np.empty(size, np.int64)
        for number in np.unique(passes):
            here = passes == number
            # Python's numbers: a seed may be any.
            seed = abs(int(self.seed)) << 64 | int(number)
            rows[here] = shuffled(places[here], count, seed)
        return rows

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Draws; the feature (M, D) is of no image of the batch.

        Raises:
            UserError: If nothing has been embedded.
        """
        if not self._held:
            raise UserError(
                f'{type(self).__name__}: expected its texts before the first '
                "step; add dict(type='mmkd_custom.TextCorpusHook') to "
                'custom_hooks.'
            )
        found = self._held[0].read(self.rows(len(batch)))
        return Outputs(feature=send(found, batch.device))

    def __deepcopy__(self, memo: dict) -> TextCorpus:
        # It holds gigabytes, and an averaged model asks no network.
        return self
