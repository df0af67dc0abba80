"""What a student says of image files, and what is done with its answers."""

from .run import Summary, predict

__all__ = ['Summary', 'predict']
