"""Teachers from open_clip."""

from .teacher import OpenCLIPTeacher

__all__ = ['OpenCLIPTeacher']
