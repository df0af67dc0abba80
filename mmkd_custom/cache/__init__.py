"""The teacher's outputs, kept on disk by (sample, view)."""

from .opening import TeacherCacheHook
from .teacher import CachedTeacher

__all__ = ['CachedTeacher', 'TeacherCacheHook']
