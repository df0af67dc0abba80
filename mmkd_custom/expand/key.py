"""What can stand in ``distill``, and what is wrong with what does."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Optional, Union

from ..errors import UserError, nearest

KEY = 'distill'
#: Values of ``teacher_view``.
SAME, WHOLE = 'same', 'whole'
#: Value of ``unlabelled``: the labelled images, their labels unused.
OWN = 'labelled'


@dataclass(frozen=True)
class Key:
    """The sub-keys of ``distill``; docs/one_key.md explains each.

    Attributes:
        teacher (str | dict): A short name, or a teacher's config.
        unlabelled (str | dict, optional): A folder of images, a dataset's
            config, 'labelled' or None.
        method (str | dict): A file of ``configs/_base_/methods/``, or a
            distiller's config. Defaults to 'customkd'.
        teacher_size (int, optional): Pixels that the teacher sees. Defaults
            to None, what it was trained with.
        teacher_view (str): 'same' crop as the student, or the 'whole' image.
            Defaults to 'same'.
        cache (bool | str): Whether, or in which folder, what the teacher says
            is kept. Defaults to False.
        views (int, optional): Views of each image, in turn. Defaults to None:
            4 with a cache of the same crop, else a new one every time.
        unlabelled_batch (int, optional): Unlabelled images in a batch.
            Defaults to None, as many as labelled ones.
        epoch_length (int | str): As of ``TwoStreamSampler``. Defaults to
            'longer'.
        input_size (int, optional): Pixels that the student sees. Defaults to
            None, which reads the training pipeline.
        customization (dict, optional): What of the optimiser of the
            customization stage is to be another. Defaults to None.
    """

    teacher: Union[str, dict]
    unlabelled: Union[str, dict, None]
    method: Union[str, dict] = 'customkd'
    teacher_size: Optional[int] = None
    teacher_view: str = SAME
    cache: Union[bool, str] = False
    views: Optional[int] = None
    unlabelled_batch: Optional[int] = None
    epoch_length: Union[int, str] = 'longer'
    input_size: Optional[int] = None
    customization: Optional[dict] = None


def read_key(given: Any) -> Key:
    """Reads the value of ``distill``.

    Args:
        given (Any): What the config has.

    Returns:
        Key: Its sub-keys.

    Raises:
        UserError: If one is unknown, lacking, or of a kind that it cannot be.
    """
    if not isinstance(given, dict):
        raise UserError(
            f'distill: expected a dict(teacher=…, unlabelled=…), got '
            f'{given!r}.'
        )
    names = [field.name for field in fields(Key)]
    for name in given:
        if name not in names:
            raise UserError(
                f'distill.{name}: there is no such key '
                f'({nearest(str(name), names)}).'
            )
    for name in ('teacher', 'unlabelled'):
        if name not in given:
            raise UserError(f'distill: expected the key {name!r}, got none.')
    key = Key(**given)
    _check_kind('teacher', key.teacher, (str, dict))
    _check_kind('unlabelled', key.unlabelled, (str, dict, type(None)))
    _check_kind('method', key.method, (str, dict))
    _check_kind('cache', key.cache, (bool, str))
    _check_kind('customization', key.customization, (dict, type(None)))
    for name in ('teacher_size', 'views', 'unlabelled_batch', 'input_size'):
        value = getattr(key, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (whole and value >= 1):
            raise UserError(
                f'distill.{name}: expected a whole number >= 1 or None, got '
                f'{value!r}.'
            )
    if key.teacher_view not in (SAME, WHOLE):
        raise UserError(
            f"distill.teacher_view: expected '{SAME}' or '{WHOLE}', got "
            f'{key.teacher_view!r}.'
        )
    if key.unlabelled is None and key.unlabelled_batch is not None:
        raise UserError(
            'distill.unlabelled_batch: expected None, since '
            'distill.unlabelled is None, got '
            f'{key.unlabelled_batch}.'
        )
    return key


def _check_kind(name: str, value: Any, kinds: tuple) -> None:
    if not isinstance(value, kinds) or value == '':
        said = {str: 'a text', dict: 'a dict', bool: 'True or False'}
        wanted = ' or '.join(said.get(kind, 'None') for kind in kinds)
        raise UserError(f'distill.{name}: expected {wanted}, got {value!r}.')
