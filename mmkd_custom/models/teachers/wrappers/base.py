"""What teachers that are made of other teachers share."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn

from ....datasets.prompt_names import prompt_names
from ....errors import UserError
from ....registry import MODELS
from ....utils.class_names import class_difference
from ...outputs import FEATURE, LOGITS, OUTPUTS, Outputs, Shape
from ..base import FrozenTeacher


class WrappedTeacher(FrozenTeacher):
    """A teacher around another one: what it sees and says is the other's.

    A subclass says how that differs. The other may be made of parts in other
    dtypes and keeps them.

    Args:
        teacher (FrozenTeacher): The other teacher.
        classes (Sequence[str], optional): Names of the classes of a head that
            takes the place of the other's. None keeps that. Defaults to None.
        **execution (Any): ``dtype``, ``channels_last``, ``max_batch`` and
            ``compile`` of :class:`FrozenTeacher`; the other's unless given.

    Attributes:
        teacher (FrozenTeacher): The other teacher.
        classes (tuple[str], optional): Names of the classes, in order.
        transparent (bool): Whether all that it says is the other's.
    """

    transparent: bool = False

    def __init__(
        self,
        teacher: FrozenTeacher,
        classes: Optional[Sequence[str]] = None,
        **execution: Any,
    ) -> None:
        super().__init__(**{**mirrored(teacher), **execution})
        # The very object: it may do more than its options say.
        self.preparation = teacher.preparation
        # FrozenTeacher casts what is assigned to it.
        nn.Module.__setattr__(self, 'teacher', teacher)
        self.name, self.weights = teacher.name, teacher.weights
        self.feature = feature_name(teacher)
        self.feature_dim = teacher.feature_dim
        self.num_classes = teacher.num_classes
        self.offers, self.dims = teacher.offers, teacher.dims
        self.classes = getattr(teacher, 'classes', None)
        self.own_words = getattr(teacher, 'own_words', False)
        if classes is not None:
            self.classes, self.own_words = tuple(classes), False
            self.num_classes = len(classes)
            self.dims = {**teacher.dims, LOGITS: (len(classes),)}
            offers = {*teacher.offers, LOGITS}
            self.offers = tuple(name for name in OUTPUTS if name in offers)

    @property
    def shapes(self) -> Dict[str, Shape]:
        """dict[str, Shape]: Of each output for one image."""
        shapes = dict(self.teacher.shapes)
        if LOGITS in self.offers:
            shapes[LOGITS] = Shape((self.num_classes,))
        return shapes

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Asks the other teacher; see :meth:`FrozenTeacher.encode`."""
        return self.teacher(inputs, wants)

    def resume(
        self,
        x: torch.Tensor,
        after: int,
        grid: Optional[Tuple[int, int]] = None,
        until: Optional[int] = None,
    ) -> Outputs:
        """Runs the frozen rest of the other teacher, if that can."""
        return self.standardized(self.teacher.resume(x, after, grid, until))

    def middles(self, size: Tuple[int, int]) -> List[Shape]:
        """Returns the other teacher's; see :meth:`FrozenTeacher.middles`."""
        return self.teacher.middles(size)


def for_head(wants: Sequence[str]) -> Sequence[str]:
    """Returns what a teacher is asked whose feature a head classifies.

    Args:
        wants (Sequence[str]): What teacher and head are asked.
    """
    needed = {FEATURE if name == LOGITS else name for name in wants}
    return tuple(name for name in OUTPUTS if name in needed)


def build_wrapped(
    teacher: Union[dict, FrozenTeacher],
    option: str,
    execution: Dict[str, Any],
) -> FrozenTeacher:
    """Returns a teacher that another one asks.

    Args:
        teacher (dict | FrozenTeacher): Its config, or the teacher itself.
        option (str): Name of the configuration option, for the error.
        execution (dict): Options of how it runs, such as ``dtype`` and
            ``max_batch``, that take the place of those in its config; None
            leaves one as it is.

    Raises:
        UserError: If it is no teacher, or built already and to run otherwise.
    """
    given = {k: v for k, v in execution.items() if v is not None}
    if isinstance(teacher, dict):
        teacher = MODELS.build({**teacher, **given})
    elif given:
        raise UserError(
            f'{option}: expected the config of a teacher to be given '
            f'{", ".join(given)}, got one that is built already.'
        )
    if not isinstance(teacher, FrozenTeacher):
        raise UserError(
            f'{option}: expected a FrozenTeacher such as TimmTeacher or '
            f'MMPretrainTeacher, got {type(teacher).__name__}.'
        )
    return teacher


def mirrored(teacher: FrozenTeacher) -> Dict[str, Any]:
    """Returns the options with which a teacher around another sees the same.

    Args:
        teacher (FrozenTeacher): The other teacher.
    """
    preparation = teacher.preparation
    return dict(
        mean=preparation.mean,
        std=preparation.std,
        input_size=preparation.input_size,
        interpolation=preparation.interpolation,
        patch_multiple=preparation.patch_multiple,
        dtype=str(teacher.dtype)[len('torch.') :],
        channels_last=teacher.memory_format is torch.channels_last,
        max_batch=teacher.max_batch,
    )


def feature_name(teacher: FrozenTeacher) -> str:
    """Returns which vector a teacher's feature is, such as 'pooled'.

    Args:
        teacher (FrozenTeacher): 'feature' is that of one that has but one.
    """
    name = getattr(teacher, 'feature', None)
    return name if isinstance(name, str) else FEATURE


def input_summary(teacher: FrozenTeacher) -> str:
    """Returns what a teacher sees of an image, as one line.

    Args:
        teacher (FrozenTeacher): Any teacher.

    Returns:
        str: Size in pixels, interpolation and normalisation; of an ensemble
        those of each of its teachers.
    """
    while getattr(teacher, 'transparent', False):
        teacher = teacher.teacher
    members = getattr(teacher, 'teachers', None)
    if members is not None:
        return ' + '.join(map(input_summary, members))
    size = (
        "the student's size"
        if teacher.input_size is None
        else '{}x{}'.format(*teacher.input_size)
    )
    mean, std = (
        [round(value, 3) for value in values]
        for values in (teacher.mean, teacher.std)
    )
    return (
        f'{size} {teacher.preparation.interpolation}, mean {mean}, std {std}'
    )


def check_classes(
    teacher: FrozenTeacher,
    names: Optional[Sequence[str]],
    place: str = 'the labelled dataset',
    prompts: Optional[Sequence[str]] = None,
) -> None:
    """Refuses a teacher whose logits are of other classes than a dataset's.

    Args:
        teacher (FrozenTeacher): Nothing is asked of one that does not know
            the names of its ``classes``. Those in its ``own_words``, for
            prompts, may be other names, but not in another order.
        names (Sequence[str], optional): The dataset's, in order; None if it
            has none.
        place (str): What has them. Defaults to 'the labelled dataset'.
        prompts (Sequence[str], optional): The same names as they stand in a
            prompt. Defaults to None, which makes them.

    Raises:
        UserError: If number, names or order differ.
    """
    own = getattr(teacher, 'classes', None)
    if own is None or names is None:
        return
    if getattr(teacher, 'own_words', False):
        known = list(prompts or prompt_names(names))
        moved = [
            f'class {number} is {name!r} in teacher {teacher.name}, but class '
            f'{known.index(name)} in {place}'
            for number, name in enumerate(prompt_names(own))
            if name in known and name not in known[number : number + 1]
        ]
        differs = moved[0] if moved else None
    else:
        places = (f'teacher {teacher.name}', place)
        differs = class_difference(own, names, places)
    if differs:
        raise UserError(f'{differs}; expected the same classes in one order.')
