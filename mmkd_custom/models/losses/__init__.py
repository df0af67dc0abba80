"""One file per loss: pure modules (student, teacher[, target]) -> scalar."""

from .dkd import DKD
from .kl_divergence import KLDivergence
from .mse import MSE

__all__ = ['DKD', 'KLDivergence', 'MSE']
