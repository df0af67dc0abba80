"""Files of what was fitted to a teacher, and whether they fit it now."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import (
    Any,
    ClassVar,
    Dict,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
)

import safetensors
import torch
from mmengine.logging import print_log
from safetensors.torch import save

from ....errors import UserError
from ....utils.files import write_atomic
from ..base import FrozenTeacher
from .base import feature_name, input_summary

#: Before the kind of file in its metadata.
SCOPE = 'mmkd_custom.'

T = TypeVar('T', bound='HeadFile')


@dataclass
class HeadFile:
    """A linear head that was fitted to a teacher, and how it came about.

    Attributes:
        tensors (dict[str, Tensor]): float32, by name.
        teacher (str): Name of the teacher.
        teacher_sha256 (str): Its ``digest()``.
        classes (list[str]): Names of the C classes, in order.
        feature (str): Which vector of the teacher the head is for. Defaults
            to 'feature', its only one.
        input (str, optional): What the teacher saw of an image. Defaults to
            None.
        accuracy (float, optional): Top-1 in percent on the labelled images
            that were held out; None if none were. Defaults to None.
        split_sha256 (str, optional): SHA-256 of the labelled samples.
            Defaults to None.
        seed (int): Of the hold-out and all else that is drawn. Defaults to 0.
    """

    tensors: Dict[str, torch.Tensor]
    teacher: str
    teacher_sha256: str
    classes: Sequence[str]
    feature: str = 'feature'
    input: Optional[str] = None
    accuracy: Optional[float] = None
    split_sha256: Optional[str] = None
    seed: int = 0

    #: What the files are called, what makes them, and the head's weight.
    kind: ClassVar[str]
    tool: ClassVar[str]
    head: ClassVar[str] = 'weight'

    def facts(self) -> Dict[str, Any]:
        """Returns all but the tensors, as the file holds it."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != 'tensors'
        }

    def save(self, path: Union[str, Path]) -> None:
        """Writes a safetensors file in one step; makes its folder.

        The same content gives the same bytes: the facts stand under one key
        of the metadata, because safetensors writes several in no fixed order.

        Args:
            path (str | Path): The file.

        Raises:
            UserError: If it cannot be written there.
        """
        facts = json.dumps(self.facts(), sort_keys=True)
        tensors = {
            name: tensor.float().cpu().contiguous()
            for name, tensor in self.tensors.items()
        }
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, save(tensors, {SCOPE + self.kind: facts}))
        except OSError as error:
            raise UserError(
                f'{self.kind} {path}: cannot be written ({error}).'
            ) from error

    @classmethod
    def load(cls: Type[T], path: Union[str, Path]) -> T:
        """Returns what :meth:`save` wrote, on the CPU.

        Args:
            path (str | Path): The file.

        Raises:
            UserError: If there is no such file, or it holds something else.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise UserError(
                f'{cls.kind} {path}: there is no such file; make it with '
                f'{cls.tool}.'
            )
        try:
            with safetensors.safe_open(str(path), 'pt') as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except safetensors.SafetensorError as error:
            raise UserError(
                f'{cls.kind} {path}: expected a .safetensors file, got one '
                f'that cannot be read ({error}).'
            ) from error
        if SCOPE + cls.kind not in metadata:
            found = ', '.join(metadata) or f'tensors {", ".join(tensors)}'
            raise UserError(
                f'{cls.kind} {path}: expected what {cls.tool} writes, got '
                f'{found}.'
            )
        facts = json.loads(metadata[SCOPE + cls.kind])
        known = {field.name for field in fields(cls)}
        return cls(tensors, **{k: v for k, v in facts.items() if k in known})

    def check(
        self,
        path: str,
        teacher: FrozenTeacher,
        num_classes: Optional[int] = None,
    ) -> None:
        """Refuses a teacher or data that this was not fitted to.

        Args:
            path (str): The file, for the errors.
            teacher (FrozenTeacher): The teacher as it is now.
            num_classes (int, optional): Classes of the data; None does not
                care. Defaults to None.

        Raises:
            UserError: If width, classes, feature or weights differ.
        """
        source, digest = f'{self.kind} {path}', teacher.digest()
        shape = tuple(self.tensors[self.head].shape)
        facts = dict(
            num_classes=(shape[0], num_classes or shape[0]),
            feature=(self.feature, feature_name(teacher)),
            feature_dim=(shape[1], teacher.feature_dim),
            sha256=(self.teacher_sha256[:12], digest[:12]),
        )
        for name, (own, now) in facts.items():
            if own != now:
                raise UserError(
                    f'{source}: expected {name}={own!r} of {self.teacher}, '
                    f'got {now!r} of {teacher.name}; fit one to the teacher '
                    f'and the data at hand with {self.tool}.'
                )
        # The digest cannot tell: the same weights compute otherwise in a
        # network with QuickGELU, and no size of images is among them.
        seen = input_summary(teacher)
        if self.input and (teacher.name, seen) != (self.teacher, self.input):
            print_log(
                f'{source}: was fitted to {self.teacher} with images of '
                f'{self.input}, got {teacher.name}, which sees {seen}.',
                logger='current',
                level=logging.WARNING,
            )
