"""Teachers from MMPretrain."""

from .teacher import MMPretrainTeacher

__all__ = ['MMPretrainTeacher']
