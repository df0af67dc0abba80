"""The short spelling of whose BatchNorm statistics a student ends with."""

from __future__ import annotations

from mmengine.config import Config

from ..errors import UserError
from ..stages import LABELLED, UNLABELLED
from ..utils.kinds import is_kind

#: Of whose images BatchNorm's statistics are in the end.
STATISTICS = 'bn_statistics'
_STREAMS = dict(source=LABELLED, target=UNLABELLED, all='all')
_HOOK = 'BatchNormStatisticsHook'


def set_statistics(config: Config) -> None:
    """Replaces ``bn_statistics='target'`` by its hook, in place.

    ``target``, ``source`` or ``all``: the student's statistics become those
    of the unlabelled images (AdaBN, no label is used), the labelled ones or
    both when training is over. None is as without it. A hook that the config
    has for this gives way.

    Args:
        config (Config): Any that is trained.

    Raises:
        UserError: If it is another value.
    """
    which = config.pop(STATISTICS, None)
    if which is None:
        return
    if which not in _STREAMS:
        raise UserError(
            f'{STATISTICS}: expected one of {", ".join(_STREAMS)}, got '
            f'{which!r}.'
        )
    hooks = config.get('custom_hooks') or []
    # First: what looks at the student that is left comes after it.
    config.custom_hooks = [
        dict(type=f'mmkd_custom.{_HOOK}', stream=_STREAMS[which]),
        *(hook for hook in hooks if not is_kind(hook, _HOOK)),
    ]
