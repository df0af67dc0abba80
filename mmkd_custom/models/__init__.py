"""Networks and losses: students, teachers, connectors, distillers."""

from .backbones import *  # noqa: F401,F403
from .connectors import *  # noqa: F401,F403
from .data_preprocessor import DistillDataPreprocessor
from .distillers import *  # noqa: F401,F403
from .losses import *  # noqa: F401,F403
from .low_rank import LowRankStudent
from .networks import *  # noqa: F401,F403
from .start import SeededStart
from .student import Student
from .teachers import *  # noqa: F401,F403

__all__ = [
    'DistillDataPreprocessor',
    'LowRankStudent',
    'SeededStart',
    'Student',
]
