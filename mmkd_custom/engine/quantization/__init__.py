"""Training that rounds as an int8 file of the student will round."""

from .fake import FakeQuantizers
from .hook import QuantizeHook

__all__ = ['FakeQuantizers', 'QuantizeHook']
