"""Teachers from timm."""

from .teacher import TimmTeacher

__all__ = ['TimmTeacher']
