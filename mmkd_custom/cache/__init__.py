"""The teacher's outputs, kept on disk by (sample, view)."""

from .hook import TeacherCacheHook
from .teacher import CachedTeacher

__all__ = ['CachedTeacher', 'TeacherCacheHook']
