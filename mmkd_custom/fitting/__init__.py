"""What is fitted: probes, adaptations, soft labels, a student's last layer."""

from .ahead import FitProbeHook, SubclassHook, WeighSourcesHook
from .hook import PropagateLabelsHook
from .refit import RefitHeadHook

__all__ = [
    'FitProbeHook',
    'PropagateLabelsHook',
    'RefitHeadHook',
    'SubclassHook',
    'WeighSourcesHook',
]
