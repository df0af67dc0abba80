"""The key ``distill``: any MMPretrain config becomes a distillation run."""

from .expand import expand
from .runner import DistillRunner

__all__ = ['DistillRunner', 'expand']
