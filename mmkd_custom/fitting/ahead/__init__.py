"""What is found in teachers' features before a run's first step."""

from .sources import WeighSourcesHook
from .subclasses import SubclassHook

__all__ = ['SubclassHook', 'WeighSourcesHook']
