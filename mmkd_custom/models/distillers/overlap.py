"""The teacher on a CUDA stream of its own, beside the student."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Dict, Iterable, Iterator, List, Optional, Tuple, Union

import torch
from mmengine.logging import print_log
from torch import cuda

from ...errors import UserError

#: Steps of each way that ``'auto'`` makes first and does not count: kernels
#: are chosen and the second stream's memory pool grows.
WARM_UP = 3
#: Steps of each way that it times.
TIMED = 8


class TeacherStream:
    """Lets the teacher run beside the student where that is faster.

    .. code:: python

        with stream.teacher(device):
            output = teacher(prepare(images))
        logits = student(images)
        stream.join(output.named_tensors().values())

    On CUDA, what the block launches goes to a stream of its own, which first
    waits for what was launched before; ``join`` has the student's stream wait
    for it. The host waits for neither. Elsewhere nothing happens at all.

    Between the block and ``join`` two things must hold: what the block reads
    stays referenced (else its memory is given away while the teacher reads
    it), and nothing the block made is used. What the block makes stays in the
    second stream's memory pool, so the preparation of the teacher's input
    belongs inside. Autocast is a state of the thread and holds in both; DDP's
    reducer waits for the student's stream, which nothing here changes.

    Args:
        mode (str | bool): True always runs it beside the student, False
            never. 'auto' does both in turns over the first steps, times them
            on the device and keeps the faster; each rank for itself. Defaults
            to 'auto'.

    Raises:
        UserError: If ``mode`` is something else.
    """

    def __init__(self, mode: Union[str, bool] = 'auto') -> None:
        if mode != 'auto' and not isinstance(mode, bool):
            raise UserError(
                f"overlap_teacher={mode!r}, but 'auto', True or False is "
                'wanted.'
            )
        #: Whether the teacher runs beside the student; None while both ways
        #: are being timed.
        self.beside: Optional[bool] = None if mode == 'auto' else mode
        self._trial = _Trial()
        self._streams: Dict[torch.device, cuda.Stream] = {}
        self._step: Optional[_Step] = None

    def __deepcopy__(self, memo: dict) -> TeacherStream:
        # An averaged copy of a distiller never trains, and streams cannot be
        # copied.
        return self

    @contextmanager
    def teacher(self, device: torch.device) -> Iterator[None]:
        """Surrounds the teacher's part of a step.

        Args:
            device (torch.device): Where teacher and student run.
        """
        # Of a step that broke off before it was joined.
        self._step = None
        if device.type != 'cuda' or self.beside is False:
            yield
            return
        step = _Step(cuda.current_stream(device))
        beside = self.beside
        if beside is None:
            beside, counts = self._trial.turn()
            step.start = _mark(step.main) if counts else None
        if not beside:
            yield
        else:
            if device not in self._streams:
                self._streams[device] = cuda.Stream(device)
            step.side = self._streams[device]
            step.side.wait_stream(step.main)
            with cuda.stream(step.side):
                yield
        self._step = step

    def join(self, tensors: Iterable[torch.Tensor]) -> None:
        """Lets what the teacher gave be used from here on.

        Args:
            tensors (Iterable[Tensor]): What the block made and is used later.
        """
        step, self._step = self._step, None
        if step is None:
            return
        if step.side is not None:
            step.main.wait_stream(step.side)
            for tensor in tensors:
                # Its memory returns to the second stream's pool, and must not
                # be filled anew there while the student's stream reads it.
                tensor.record_stream(step.main)
        if step.start is not None:
            self._trial.add(
                step.side is not None, (step.start, _mark(step.main))
            )
        if self.beside is None:
            self.beside = self._trial.verdict()


@dataclass
class _Step:
    """A step between its teacher's part and the join.

    ``side`` is set if the teacher runs beside the student, ``start`` if the
    step is timed.
    """

    main: cuda.Stream
    side: Optional[cuda.Stream] = None
    start: Optional[cuda.Event] = None


class _Trial:
    """Times both ways in turns; never waits for a time."""

    def __init__(self) -> None:
        self._turns = 0
        self._spans: Dict[bool, List[Tuple[cuda.Event, cuda.Event]]] = {
            False: [],
            True: [],
        }

    def turn(self) -> Tuple[bool, bool]:
        """Says whether this step goes side by side, and whether it counts."""
        if self._enough():
            return False, False
        beside = self._turns % 2 == 1
        counts = self._turns >= 2 * WARM_UP
        self._turns += 1
        return beside, counts

    def add(self, beside: bool, span: Tuple[cuda.Event, cuda.Event]) -> None:
        """Takes what was recorded before and after a step that counts."""
        self._spans[beside].append(span)

    def verdict(self) -> Optional[bool]:
        """Says which way is faster; None while the device is not done."""
        spans = self._spans
        if not self._enough() or not all(
            end.query() for way in spans.values() for _, end in way
        ):
            return None
        turns, beside = (
            median(start.elapsed_time(end) for start, end in spans[way])
            for way in (False, True)
        )
        spans[False], spans[True] = [], []
        faster = beside < turns
        print_log(
            f'Teacher and student: {turns:.2f} ms one after the other, '
            f'{beside:.2f} ms side by side (medians of {TIMED} steps), so '
            + ('side by side.' if faster else 'one after the other.'),
            logger='current',
        )
        return faster

    def _enough(self) -> bool:
        return min(map(len, self._spans.values())) >= TIMED


def _mark(stream: cuda.Stream) -> cuda.Event:
    event = cuda.Event(enable_timing=True)
    event.record(stream)
    return event
