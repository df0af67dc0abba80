"""What a teacher is and costs, for the log at the start of a run."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..outputs import FEATURE, LOGITS, Outputs
from .base import FrozenTeacher


def teacher_report(
    teacher: FrozenTeacher,
    size: Union[int, Tuple[int, int]],
    wants: Optional[Sequence[str]] = None,
) -> Dict[str, Any]:
    """Describes a teacher; runs it on one black image.

    No random number is drawn and no weight changes.

    Args:
        teacher (FrozenTeacher): Any teacher, on the device it runs on.
        size (int | tuple[int, int]): Pixels (or height and width) of the
            images that come to its ``prepare``.
        wants (Sequence[str], optional): What it will be asked for; None is
            the feature, and the logits if there is a head. Defaults to None.

    Returns:
        dict[str, Any]: Values that JSON can hold: ``name``, ``weights`` (where
        they came from), ``sha256``; ``parameters``; ``gflops``, 1e9 operations
        for one image, two a multiply-add, in matrix products, convolutions
        and attention alone, for ``wants``, None if the device cannot compute
        in the teacher's dtype; ``input_size`` (height, width) in pixels of
        what the network sees, ``interpolation``, ``dtype``, ``max_batch``,
        ``compile``; ``wants``, and ``dims``, the shape for one image of all
        that is offered; ``teachers``, the reports of those in an ensemble.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if wants is None:
        wants = [n for n in (FEATURE, LOGITS) if n in teacher.offers]
    device = next(teacher.parameters()).device
    inputs = teacher.prepare(torch.zeros(1, 3, *pair, device=device))
    dims, gflops = dict(teacher.dims), None
    try:
        every, _ = _counted(teacher, inputs, teacher.offers)
        dims = {name: shape.sizes for name, shape in every.shapes().items()}
        _, gflops = _counted(teacher, inputs, wants)
    except (NotImplementedError, RuntimeError) as error:
        # A teacher in half precision that is still on the CPU.
        if 'not implemented for' not in str(error):
            raise
    return dict(
        name=teacher.name,
        weights=teacher.weights,
        sha256=teacher.digest(),
        parameters=sum(p.numel() for p in teacher.parameters()),
        gflops=gflops,
        input_size=tuple(inputs.shape[-2:]),
        interpolation=teacher.preparation.interpolation,
        dtype=str(teacher.dtype)[len('torch.') :],
        max_batch=teacher.max_batch,
        compile=any(
            module._encode != module.encode
            for module in teacher.modules()
            if isinstance(module, FrozenTeacher)
        ),
        wants=list(wants),
        dims=dims,
        teachers=[
            teacher_report(
                member, pair, [n for n in asked if n in member.offers]
            )
            for member, asked in _members(teacher, wants)
        ],
    )


def report_text(report: Dict[str, Any]) -> str:
    """Formats a report for people.

    Args:
        report (dict): From :func:`teacher_report`.

    Returns:
        str: A line for the name and one for each fact.
    """
    compute = 'not counted: its dtype does not run on this device'
    if report['gflops'] is not None:
        compute = (
            f'{report["gflops"]:.3g} GFLOPs an image (two a multiply-add)'
        )
    offers = ', '.join(
        f'{name} {"x".join(map(str, shape))}'
        for name, shape in report['dims'].items()
    )
    facts = {
        'parameters': f'{report["parameters"] / 1e6:.2f} M',
        'compute': compute,
        'asked for': ', '.join(report['wants']),
        'offers': offers,
    }
    if not report['teachers']:
        size = '{}x{}'.format(*report['input_size'])
        cut = report['max_batch']
        facts['input'] = f'{size} {report["interpolation"]}'
        facts['dtype'] = report['dtype']
        facts['at once'] = f'{cut} images' if cut else 'whole batches'
        facts['compiled'] = 'yes' if report['compile'] else 'no'
    facts['weights'] = f'{report["weights"]} (sha256 {report["sha256"][:12]})'
    width = max(map(len, facts))
    lines = [f'Teacher {report["name"]}']
    lines += [f'  {name:<{width}}  {value}' for name, value in facts.items()]
    for member in report['teachers']:
        lines += [f'  {line}' for line in report_text(member).split('\n')]
    return '\n'.join(lines)


def _members(
    teacher: FrozenTeacher, wants: Sequence[str]
) -> List[Tuple[FrozenTeacher, Sequence[str]]]:
    """Returns the teachers of an ensemble and what each is asked for."""
    inner = getattr(teacher, 'teacher', None)
    if inner is None:
        return [(m, wants) for m in getattr(teacher, 'teachers', ())]
    if not getattr(teacher, 'transparent', False):
        # Its own head makes logits of the other's feature.
        wants = [FEATURE if name == LOGITS else name for name in wants]
    return _members(inner, wants)


def _counted(
    teacher: FrozenTeacher, inputs: Any, wants: Sequence[str]
) -> Tuple[Outputs, float]:
    """Runs the teacher; returns its output and 1e9 operations."""
    counter = FlopCounterMode(display=False)
    with plain_kernels(), counter:
        output = teacher(inputs, wants)
    return output, counter.get_total_flops() / 1e9


@contextlib.contextmanager
def plain_kernels() -> Iterator[None]:
    """Has attention made of matrix products, which alone are counted.

    Fused attention is counted for some kernels of some versions of torch,
    and the fused layer of ``nn.MultiheadAttention`` for none. What
    ``torch.compile`` would fuse is run as it is written.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with (
            sdpa_kernel(SDPBackend.MATH),
            torch.compiler.set_stance('force_eager'),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
