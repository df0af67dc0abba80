"""A teacher whose weights were adapted to the labelled data."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

import torch
import torch.nn as nn

from ....errors import UserError
from ....registry import MODELS
from ...outputs import FEATURE, LOGITS, OUTPUTS, Outputs
from ..base import FrozenTeacher
from .adaptation import HEAD_BIAS, HEAD_WEIGHT, TOOL, Adaptation
from .base import build_wrapped, feature_name
from .files import check_fitted

#: Options of a teacher's config that say how it runs, not what it is.
_EXECUTION = dict(
    dtype='float32', channels_last=True, max_batch=None, compile=False
)


@MODELS.register_module()
class AdaptedTeacher(FrozenTeacher):
    """Another teacher with adapted weights and a linear head.

    ``tools/adapt_teacher.py`` trains the adaptation on the labelled data:
    the normalisation layers alone (EZAD, METHODS 6) or LoRA. It offers what
    the other teacher offers, adapted, and logits of the stored head on the
    adapted feature. It is as large and as fast as the other.

    Args:
        teacher (dict): Config of the teacher that was adapted. Its ``dtype``,
            ``channels_last``, ``max_batch`` and ``compile`` hold for this
            one, unless they are given here. Whatever the dtype, weights are
            changed in float32 first.
        adaptation (str): File that ``tools/adapt_teacher.py`` wrote.
        num_classes (int, optional): Number of classes of the data ('auto' in
            a config), to have an adaptation for others refused. None takes
            the file's. Defaults to None.
        dtype (str, optional): 'float32', 'bfloat16' or 'float16'. Defaults
            to None, the other teacher's.
        channels_last (bool, optional): Memory layout. Defaults to None, the
            other teacher's.
        max_batch (int, optional): Most images at once. Defaults to None, the
            other teacher's.
        compile (bool, optional): Whether ``torch.compile`` compiles it.
            Defaults to None, the other teacher's.

    Attributes:
        classes (tuple[str]): Names of the head's classes, in order.

    Raises:
        UserError: If the file is missing or holds something else, or was
            made for another teacher, feature width or number of classes.
    """

    def __init__(
        self,
        teacher: dict,
        adaptation: str,
        num_classes: Optional[int] = None,
        dtype: Optional[str] = None,
        channels_last: Optional[bool] = None,
        max_batch: Optional[int] = None,
        compile: Optional[bool] = None,
    ) -> None:
        stored = Adaptation.load(adaptation)
        config, execution = split_execution(teacher)
        given = dict(
            dtype=dtype,
            channels_last=channels_last,
            max_batch=max_batch,
            compile=compile,
        )
        execution.update({k: v for k, v in given.items() if v is not None})
        adapted = build_unadapted(config)
        check_fitted(
            f'adaptation {adaptation}',
            stored,
            stored.tensors[HEAD_WEIGHT].shape[1],
            adapted,
            num_classes,
            TOOL,
        )
        stored.apply_to(adapted)
        super().__init__(
            mean=adapted.mean,
            std=adapted.std,
            input_size=adapted.input_size,
            interpolation=adapted.preparation.interpolation,
            patch_multiple=adapted.preparation.patch_multiple,
            **execution,
        )
        # The very object: it may do more than its options say.
        self.preparation = adapted.preparation
        adapted.dtype = self.dtype
        adapted.memory_format = self.memory_format
        self.teacher = adapted
        weight = stored.tensors[HEAD_WEIGHT]
        # Without the initialisation, which would draw random numbers.
        head = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
        with torch.no_grad():
            head.weight.copy_(weight)
            head.bias.copy_(stored.tensors[HEAD_BIAS])
        self.head = head
        self.feature = feature_name(adapted)
        self.classes = tuple(stored.classes)
        self.name = f'{adapted.name} ({stored.mode}-adapted)'
        self.weights = f'{adapted.weights} + {adaptation}'
        self.feature_dim = adapted.feature_dim
        self.num_classes = len(weight)
        self.offers = tuple(
            name for name in OUTPUTS if name in (*adapted.offers, LOGITS)
        )
        self.dims = {**adapted.dims, LOGITS: (len(weight),)}

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Runs the adapted network once, and the head if it is wanted.

        Args:
            inputs (Tensor): (N, 3, H, W), normalised for this model.
            wants (Sequence[str]): Names out of ``offers``.

        Returns:
            Outputs: What the adapted network gives, with logits (N, C)
            of the stored head.
        """
        within = tuple(
            name
            for name in OUTPUTS
            if name != LOGITS
            and (name in wants or (name == FEATURE and LOGITS in wants))
        )
        output = self.teacher.encode(inputs, within)
        if LOGITS in wants:
            output.logits = self.head(output.feature)
        return output


def split_execution(teacher: dict) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Parts a teacher's config into what it is and how it runs.

    Args:
        teacher (dict): Config of a teacher.

    Returns:
        tuple[dict, dict]: The config without ``dtype``, ``channels_last``,
        ``max_batch``, ``compile``, and these with their defaults.

    Raises:
        UserError: If it is no config.
    """
    if not isinstance(teacher, dict):
        raise UserError(
            f'teacher: {type(teacher).__name__} is built already, but the '
            'config of a teacher is wanted to be adapted.'
        )
    config = dict(teacher)
    execution = {
        name: config.pop(name, default) for name, default in _EXECUTION.items()
    }
    return config, execution


def build_unadapted(config: dict) -> FrozenTeacher:
    """Builds the teacher that is adapted, in float32.

    Args:
        config (dict): From :func:`split_execution`.

    Returns:
        FrozenTeacher: On the CPU.

    Raises:
        UserError: If it cannot be built, is no teacher, or teachers inside
            it are in another dtype.
    """
    teacher = build_wrapped(config, 'teacher.teacher', {})
    dtypes = {str(p.dtype)[len('torch.') :] for p in teacher.parameters()}
    if dtypes != {'float32'}:
        raise UserError(
            f'teacher {teacher.name}: has parameters in '
            f'{", ".join(sorted(dtypes))}, but float32 is wanted to adapt '
            'them; leave the dtype of teachers inside it out.'
        )
    return teacher
