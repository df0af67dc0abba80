"""Files for other runtimes than ONNX Runtime, one runtime a file."""

from .base import Runtime
from .executorch import ExecuTorch
from .litert import LiteRT
from .ncnn import Ncnn
from .openvino import OpenVINO

#: By the option that asks for one.
RUNTIMES = {r.option: r for r in (ExecuTorch, LiteRT, OpenVINO, Ncnn)}

__all__ = [
    'RUNTIMES',
    'ExecuTorch',
    'LiteRT',
    'Ncnn',
    'OpenVINO',
    'Runtime',
]
