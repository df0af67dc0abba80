"""What leaves a run: the plain student, and files for devices."""

from .checkpoint import (
    export_student,
    load_student,
    save_student,
    student_state_dict,
)
from .folder import export_folder
from .image_shape import input_shape
from .onnx import export_onnx
from .wanted import Wanted

__all__ = [
    'Wanted',
    'export_folder',
    'export_onnx',
    'export_student',
    'load_student',
    'save_student',
    'student_state_dict',
    'input_shape',
]
