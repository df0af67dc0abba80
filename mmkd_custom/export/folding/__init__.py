"""A test pipeline as a part of the network."""

from .preparation import Preparation, Steps, read_steps

__all__ = ['Preparation', 'Steps', 'read_steps']
