"""What is fitted: probes, adaptations, soft labels, a student's last layer."""

from .ahead import SubclassHook, WeighSourcesHook
from .hook import PropagateLabelsHook
from .refit import RefitHeadHook

__all__ = [
    'PropagateLabelsHook',
    'RefitHeadHook',
    'SubclassHook',
    'WeighSourcesHook',
]
