"""What of an expanded config stands elsewhere in one with the key."""

from __future__ import annotations

import inspect
import re
from typing import Any, Set, Type

from ..errors import UserError

#: By the option that only an expanded config has, where it is written.
_WRITTEN = {
    r'model\.teacher\.cache_dir': 'distill.cache=DIR',
    r'model\.teacher(\.teacher)*\.input_size': 'distill.teacher_size',
    r'model\.teachers?\b.*': 'distill.teacher',
    r'model\.student\.(.+)': r'model.\1',
    r'model\.input_size': 'distill.input_size',
    r'model\..*': 'distill.method=dict(type=…)',
    r'train_dataloader\.dataset\.labelled\.(.+)': r'train_dataloader'
    r'.dataset.\1',
    r'train_dataloader\.dataset\.unlabelled\b.*': 'distill.unlabelled',
    r'train_dataloader\.dataset\.pipelines\b.*': 'distill.teacher_view',
    r'train_dataloader\.sampler\.labelled': 'train_dataloader.batch_size',
    r'train_dataloader\.sampler\.unlabelled': 'distill.unlabelled_batch',
    r'train_dataloader\.sampler\.epoch_length': 'distill.epoch_length',
    r'train_dataloader\.sampler\.num_views': 'distill.views',
    r'optim_wrapper\.stages\b.*': 'distill.customization',
}
#: Parts of a dataset of two streams, each a dict: a dataset of the user's may
#: have options of these names that are none.
STREAMS = ('labelled', 'unlabelled', 'pipelines')
#: Options of its sampler, which no plain one has.
DRAWS = ('labelled', 'unlabelled', 'epoch_length', 'num_views')


def check_student(student: dict, kind: Type, distiller: Type) -> None:
    """Refuses what a student has of its distiller.

    Whoever knows the expanded config, or the pages about configs without the
    key, names its options; merged, they land in the student.

    Args:
        student (dict): The config's ``model``.
        kind (type): Its class.
        distiller (type): The method's class.

    Raises:
        UserError: If the student has an option of the distiller alone.
    """
    alone = _options(distiller) - _options(kind)
    for name in student:
        if name in alone:
            refuse(f'model.{name}', student[name])


def refuse(option: str, value: Any) -> None:
    """Says where an option is written in a config with the key.

    Args:
        option (str): Of the expanded config.
        value (Any): What it was given; of a dict the first value is named.

    Raises:
        UserError: In any case.
    """
    while isinstance(value, dict) and value:
        name, value = next(iter(value.items()))
        option = f'{option}.{name}'
    written = next(
        re.sub(pattern, where, option)
        for pattern, where in _WRITTEN.items()
        if re.fullmatch(pattern, option)
    )
    raise UserError(
        f'{option}: expected {written}, where a config with the key distill '
        f'has it, got {value!r}.'
    )


def _options(kind: Type) -> Set[str]:
    return {
        name
        for owner in kind.__mro__
        for name in inspect.signature(owner.__init__).parameters
    }
