"""Distilling without a config: folders of images in, a student out."""

from .result import Result
from .run import distill

__all__ = ['Result', 'distill']
