"""Times one network in this process: ``python -m``, JSON in, JSON out.

What is not needed is not imported: memory is measured too.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

from ..errors import UserError
from ..utils.memory import peak_mb, resident_mb

#: Timed images at the least, however slow they are.
LEAST = 10
#: Side of the image for an ONNX file that takes any size.
ANY_SIZE = 224


def main() -> None:
    """Reads an order, measures and prints one line."""
    # A traceback of this process would be no news.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    order = json.loads(sys.stdin.read())
    kind = order.pop('kind')
    try:
        found = run_onnx(**order) if kind == 'onnx' else run_torch(kind, order)
    except UserError as error:
        found = dict(error=str(error))
    print(json.dumps(found))


def run_torch(kind: str, order: Dict[str, Any]) -> Dict[str, Any]:
    """Times the student of a folder, or the teacher of its run.

    Args:
        kind (str): 'torch' or 'teacher'.
        order (dict): ``folder``, and the options of :func:`measured`.

    Returns:
        dict[str, Any]: What :func:`measured` returns; ``input`` (its shape);
        ``parameters``; ``macs``, multiply-adds of one image in matrix
        products, convolutions and attention; ``weight_bytes``.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ..models.teachers.report import plain_kernels
    from .latency_networks import student_of, teacher_of

    before = resident_mb()
    folder = order.pop('folder')
    opened = teacher_of if kind == 'teacher' else student_of
    network, call, images = opened(folder)
    counter = FlopCounterMode(display=False)

    def with_threads(count: int) -> Callable[[], Any]:
        torch.set_num_threads(count)
        return lambda: call(images)

    with torch.inference_mode():
        found = measured(with_threads, before, **order)
    # After the memory is measured: counting takes some.
    with torch.no_grad(), plain_kernels(), counter:
        call(images)
    weights = network.state_dict().values()
    return dict(
        found,
        input=list(images.shape),
        parameters=sum(p.numel() for p in network.parameters()),
        macs=counter.get_total_flops() // 2,
        weight_bytes=sum(w.numel() * w.element_size() for w in weights),
    )


def run_onnx(path: str, **order: Any) -> Dict[str, Any]:
    """Times an ONNX file.

    Args:
        path (str): The file.
        **order: Options of :func:`measured`.

    Returns:
        dict[str, Any]: What :func:`measured` returns, and ``input``.
    """
    try:
        import numpy as np
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f'{path}: expected {error.name}, which runs it, got none; pip '
            "install 'mmkd_custom[export]'."
        ) from error
    before = resident_mb()
    shape: List[int] = []

    def with_threads(count: int) -> Callable[[], Any]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = count
        try:
            session = onnxruntime.InferenceSession(
                path, options, providers=['CPUExecutionProvider']
            )
        # ONNX Runtime has a class for each of its complaints.
        except Exception as error:
            raise UserError(
                f'{path}: expected an ONNX file that ONNX Runtime runs, got '
                f'{str(error)[:200]!r}.'
            ) from error
        (first, *_) = session.get_inputs()
        sizes = enumerate(first.shape)
        shape[:] = [
            size if isinstance(size, int) else ANY_SIZE if i else 1
            for i, size in sizes
        ]
        rng = np.random.default_rng(0)
        if first.type == 'tensor(uint8)':
            image = rng.integers(0, 256, shape, np.uint8)
        else:
            image = rng.standard_normal(shape, np.float32)
        return lambda: session.run(None, {first.name: image})

    return dict(measured(with_threads, before, **order), input=shape)


def measured(
    with_threads: Callable[[int], Callable[[], Any]],
    before: float,
    threads: Sequence[int],
    runs: int,
    warmup: int,
    seconds: float,
) -> Dict[str, Any]:
    """Times one call with one number of threads after the other.

    Args:
        with_threads (Callable): Takes a number of threads, gives the call.
        before (float): Resident size before the network was there, in MB.
        threads (Sequence[int]): Numbers of threads.
        runs (int): Timed calls.
        warmup (int): Calls before them.
        seconds (float): After so long no further call is begun.

    Returns:
        dict[str, Any]: ``times``, of each number of ``threads`` ``ms``
        (median), ``mean_ms``, ``p95_ms``, ``cpu_ms`` (mean time of all
        processors, which others that are busy do not lengthen) and ``runs``;
        ``memory_mb``, by how much the process grew at the most for the
        network on the first number of threads; ``process_mb``, its size then,
        libraries included.
    """
    times, memory = [], {}
    for count in threads:
        call = with_threads(count)
        spent, cpu = timed(call, runs, warmup, seconds)
        if not memory:
            peak = peak_mb()
            memory = dict(memory_mb=peak - before, process_mb=peak)
        times.append(
            dict(
                threads=count,
                ms=statistics.median(spent),
                mean_ms=statistics.fmean(spent),
                cpu_ms=cpu,
                p95_ms=statistics.quantiles(spent, n=20, method='inclusive')[
                    -1
                ],
                runs=len(spent),
            )
        )
    return dict(memory, times=times)


def timed(
    call: Callable[[], Any], runs: int, warmup: int, seconds: float
) -> Tuple[List[float], float]:
    """Times calls, after some that do not count.

    Returns:
        tuple[list[float], float]: Milliseconds of each, and the mean of the
        processors' time.
    """
    begun = time.perf_counter()
    for _ in range(warmup):
        call()
        if time.perf_counter() - begun > seconds:
            break
    spent: List[float] = []
    used = time.process_time()
    begun = time.perf_counter()
    while len(spent) < max(runs, 2):
        start = time.perf_counter()
        if start - begun > seconds and len(spent) >= LEAST:
            break
        call()
        spent.append(1000 * (time.perf_counter() - start))
    used = time.process_time() - used
    return spent, 1000 * used / len(spent)


if __name__ == '__main__':
    main()
