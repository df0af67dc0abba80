"""What is found in teachers' features before a run's first step."""

from .probe import FitProbeHook
from .sources import WeighSourcesHook
from .subclasses import SubclassHook

__all__ = ['FitProbeHook', 'SubclassHook', 'WeighSourcesHook']
