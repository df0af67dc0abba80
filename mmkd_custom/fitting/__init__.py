"""What is fitted to a frozen teacher: probes, adaptations, soft labels."""

from .hook import PropagateLabelsHook

__all__ = ['PropagateLabelsHook']
