"""What leaves a run: the plain student, as a checkpoint and as ONNX."""

from .checkpoint import (
    export_student,
    load_student,
    save_student,
    student_state_dict,
)
from .image_shape import input_shape
from .onnx import export_onnx

__all__ = [
    'export_onnx',
    'export_student',
    'load_student',
    'save_student',
    'student_state_dict',
    'input_shape',
]
