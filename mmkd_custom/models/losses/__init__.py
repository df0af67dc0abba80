"""One file per loss: pure modules (student, teacher[, target]) -> scalar."""

from .dkd import DKD
from .feature_mse import FeatureMSE
from .kl_divergence import KLDivergence
from .logits_mse import LogitsMSE

__all__ = ['DKD', 'FeatureMSE', 'KLDivergence', 'LogitsMSE']
