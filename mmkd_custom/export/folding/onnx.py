"""An ONNX file that takes images as they are read."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from ..onnx import INPUT, LOGITS, check_file, onnx_runtime
from .preparation import Preparation

#: Images as they are read, (N, H, W, 3) uint8 RGB of any size.
IMAGE, PROBABILITIES = 'image', 'probabilities'
_SIDES = {0: 'batch', 1: 'height', 2: 'width'}


def fold(
    source: Path, path: Path, preparation: Preparation, opset: int = 17
) -> None:
    """Puts the preparation before an ONNX file, probabilities behind it.

    Args:
        source (Path): From :func:`~.onnx.export_onnx`, or quantised.
        path (Path): The file to write: ``image``, (N, H, W, 3) uint8 RGB of
            any size, to ``logits`` and ``probabilities`` (N, K).
        preparation (Preparation): Of the student.
        opset (int): That of the source. Defaults to 17.
    """
    onnx_runtime()
    import onnx
    from onnx import compose, helper

    first = path.with_name(f'.{path.name}.preparation')
    # Of no size that is the network's own.
    image = torch.zeros(2, 61, 83, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.onnx.export(
                preparation.eval(),
                (image,),
                str(first),
                dynamo=False,
                opset_version=opset,
                input_names=[IMAGE],
                output_names=['prepared'],
                dynamic_axes={IMAGE: _SIDES, 'prepared': {0: 'batch'}},
            )
        front, network = onnx.load(str(first)), onnx.load(str(source))
    finally:
        first.unlink(missing_ok=True)
    front.ir_version = network.ir_version
    # A quantised file lists domains of which it uses nothing.
    del network.opset_import[:]
    network.opset_import.extend(front.opset_import)
    # Both name what is in between by number.
    front = compose.add_prefix(front, 'preparation/', rename_inputs=False)
    whole = compose.merge_models(
        front, network, io_map=[('preparation/prepared', INPUT)]
    )
    whole.graph.node.append(
        helper.make_node('Softmax', [LOGITS], [PROBABILITIES], axis=1)
    )
    said = whole.graph.output[0]
    shape = [
        d.dim_param or d.dim_value for d in said.type.tensor_type.shape.dim
    ]
    whole.graph.output.append(
        helper.make_tensor_value_info(
            PROBABILITIES, onnx.TensorProto.FLOAT, shape
        )
    )
    onnx.save(whole, str(path))
    check_file(path)
