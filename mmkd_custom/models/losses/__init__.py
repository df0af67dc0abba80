"""One file per loss: modules (student, teacher[, target]) -> scalar.

In folders by what is compared, whose lists this one is made of.
"""

from . import features, predictions, relations
from .base import Loss
from .features import *  # noqa: F403
from .predictions import *  # noqa: F403
from .relations import *  # noqa: F403

__all__ = [
    'Loss',
    *features.__all__,
    *predictions.__all__,
    *relations.__all__,
]
