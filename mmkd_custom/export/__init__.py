"""What leaves a run: the plain student, as a checkpoint and as ONNX."""

from .onnx import export_onnx
from .student import (
    build_student,
    export_student,
    save_student,
    student_state_dict,
)

__all__ = [
    'build_student',
    'export_onnx',
    'export_student',
    'save_student',
    'student_state_dict',
]
