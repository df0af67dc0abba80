"""Teachers around other teachers."""

from .adapted import AdaptedTeacher
from .ensemble import EnsembleTeacher
from .probed import ProbedTeacher

__all__ = ['AdaptedTeacher', 'EnsembleTeacher', 'ProbedTeacher']
