"""The short spelling of quantisation-aware distillation."""

from __future__ import annotations

from mmengine.config import Config

from ..errors import UserError
from ..utils.kinds import is_kind

#: In how many of the last epochs the student rounds as an int8 file does.
QUANTIZE = 'quantize'
_HOOK = 'QuantizeHook'


def set_quantize(config: Config) -> None:
    """Replaces ``quantize=dict(epochs=4)`` by its hook, in place.

    None is as without it. A hook that the config has for this gives way.

    Args:
        config (Config): Any that is trained.

    Raises:
        UserError: If it is another value.
    """
    options = config.pop(QUANTIZE, None)
    if options is None:
        return
    if not isinstance(options, dict) or set(options) != {'epochs'}:
        raise UserError(
            f'{QUANTIZE}: expected dict(epochs=...), how many of the last '
            f'epochs, got {options!r}.'
        )
    hooks = config.get('custom_hooks') or []
    config.custom_hooks = [
        dict(type=f'mmkd_custom.{_HOOK}', **options),
        *(hook for hook in hooks if not is_kind(hook, _HOOK)),
    ]
