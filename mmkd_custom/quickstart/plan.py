"""Sizes, epochs and learning rate, from the data's and machine's size.

The numbers are ours: those of the shipped configs (docs/results.md), scaled.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields, replace
from typing import Any, Dict, List, Optional, Tuple

import torch

from ..errors import UserError
from .data import Data
from .students import Student
from .teachers import Teacher

SIZES = (32, 64, 96, 128, 160, 192, 224)
#: Steps that a student takes, if the data are few; and the least epochs.
STEPS = 1000
EPOCHS = (20, 300)
#: Images of each stream in a batch.
BATCH = 64
#: ... on a GPU with many images.
LARGE_BATCH, MANY = 128, 20_000
RATE, RATE_PRETRAINED = 3e-3, 5e-4


@dataclass(frozen=True)
class Machine:
    """A machine.

    Args:
        cores (int): CPU cores that this process may use.
        gpu (str, optional): Name of the GPU. Defaults to None.
        gpu_gib (float): Its memory in GiB. Defaults to 0.
    """

    cores: int
    gpu: Optional[str] = None
    gpu_gib: float = 0.0

    def __str__(self) -> str:
        cores = f'{self.cores} CPU core{"s" if self.cores > 1 else ""}'
        if self.gpu is None:
            return f'{cores}, no GPU'
        return f'{self.gpu} with {self.gpu_gib:.0f} GiB, {cores}'


def this_machine() -> Machine:
    """Looks at the machine at hand."""
    # Fewer than there are, in a container or a job.
    cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count() or 1
    )
    if not torch.cuda.is_available():
        return Machine(cores)
    card = torch.cuda.get_device_properties(0)
    return Machine(cores, card.name, card.total_memory / 2**30)


@dataclass
class Options:
    """What a user may set; None leaves it to :func:`make_plan`.

    Args:
        size (int, optional): Side of the student's images, in pixels.
        teacher_size (int, optional): Of the teacher's.
        batch_size (int, optional): Labelled and unlabelled images together.
        epochs (int, optional): Of the student.
        lr (float, optional): Its learning rate.
        workers (int, optional): Processes that load images.
    """

    size: Optional[int] = None
    teacher_size: Optional[int] = None
    batch_size: Optional[int] = None
    epochs: Optional[int] = None
    lr: Optional[float] = None
    workers: Optional[int] = None

    def __post_init__(self) -> None:
        least = dict(size=16, teacher_size=16, batch_size=4, epochs=1)
        for field in fields(self):
            value, low = getattr(self, field.name), least.get(field.name, 0)
            if value is not None and value < low:
                raise UserError(
                    f'{field.name}: expected a number >= {low}, got {value}.'
                )
        if self.lr == 0:
            raise UserError('lr: expected a number > 0, got 0.')


@dataclass
class Plan:
    """How a student is trained.

    Args:
        size (int): Side of its images, in pixels.
        teacher_size (int): Of the teacher's.
        labelled (int): Labelled images in a batch.
        unlabelled (int): Unlabelled images in a batch.
        steps (int): Steps of an epoch.
        epochs (int): Of the student.
        lr (float): Its learning rate.
        workers (int): Processes that load images.
        why (dict[str, str]): The reason of each, by name.
    """

    size: int
    teacher_size: int
    labelled: int
    unlabelled: int
    steps: int
    epochs: int
    lr: float
    workers: int
    why: Dict[str, str]

    def rows(self) -> List[Tuple[str, str, str]]:
        """Returns name, value and reason of each."""
        values = dict(
            size=f'{self.size} px',
            teacher_size=f'{self.teacher_size} px',
            batch_size=f'{self.labelled} + {self.unlabelled}',
            epochs=f'{self.epochs} of {self.steps} steps',
            lr=f'{self.lr:.2g}',
            workers=str(self.workers),
        )
        return [(n, value, self.why[n]) for n, value in values.items()]

    def with_epochs(self, epochs: int, why: str) -> Plan:
        """Returns the same with another number of epochs."""
        return replace(self, epochs=epochs, why=dict(self.why, epochs=why))


def make_plan(
    data: Data,
    machine: Machine,
    student: Student,
    teacher: Teacher,
    options: Optional[Options] = None,
) -> Plan:
    """Decides everything that the user did not.

    Args:
        data (Data): Whose images have been looked at.
        machine (Machine): The machine.
        student (Student): The student.
        teacher (Teacher): The teacher.
        options (Options, optional): What the user set. Defaults to None.
    """
    options = options or Options()
    counts = {name: data.count(name) for name in ('labelled', 'unlabelled')}
    chosen: Dict[str, Tuple[Any, str]] = dict(
        size=_size(data.size, machine, student.pretrained),
        teacher_size=_teacher_size(machine, teacher),
        batch_size=_batch(counts, machine),
        workers=_workers(machine),
    )
    if options.batch_size is not None:
        half = options.batch_size // 2
        chosen['batch_size'] = ((options.batch_size - half, half), '')
    labelled, unlabelled = chosen['batch_size'][0]
    steps = math.ceil(
        max(counts['labelled'] / labelled, counts['unlabelled'] / unlabelled)
    )
    chosen['epochs'] = _epochs(steps)
    chosen['lr'] = _rate(labelled + unlabelled, student.pretrained)
    values = {name: value for name, (value, _) in chosen.items()}
    why = {name: reason for name, (_, reason) in chosen.items()}
    for field in fields(options):
        given = getattr(options, field.name)
        if given is not None:
            why[field.name] = 'as asked for'
            if field.name != 'batch_size':
                values[field.name] = given
    del values['batch_size']
    return Plan(
        labelled=labelled,
        unlabelled=unlabelled,
        steps=steps,
        why=why,
        **values,
    )


def _size(images: int, machine: Machine, pretrained: bool) -> Tuple[int, str]:
    if machine.gpu is not None:
        most, why = 224, 'a GPU is there'
    elif pretrained:
        most, why = 128, 'without a GPU, for a student with weights'
    else:
        most, why = 96, 'without a GPU'
    if images >= most:
        return most, f'{why}; the images have {images} px'
    fitting = [size for size in SIZES if size <= images]
    return (fitting or SIZES)[-1 if fitting else 0], (
        f'the images have {images} px'
    )


def _teacher_size(machine: Machine, teacher: Teacher) -> Tuple[int, str]:
    on_gpu = machine.gpu is not None
    return teacher.sizes[on_gpu], (
        f'{"a GPU is there" if on_gpu else "without a GPU"}; '
        'it sees each image once, whole'
    )


def _batch(
    counts: Dict[str, int], machine: Machine
) -> Tuple[Tuple[int, int], str]:
    many = machine.gpu is not None and max(counts.values()) >= MANY
    most = LARGE_BATCH if many else BATCH
    sizes = tuple(
        min(most, 2 ** int(math.log2(max(count, 2))))
        for count in counts.values()
    )
    few = [name for name, n in zip(counts, sizes) if n < most]
    why = f'labelled + unlabelled; {most} each'
    if few:
        why += f', fewer where the {" and ".join(few)} images are fewer'
    return sizes, why


def _epochs(steps: int) -> Tuple[int, str]:
    least, most = EPOCHS
    epochs = min(max(math.ceil(STEPS / steps), least), most)
    if epochs == least:
        return epochs, f'at least {least}'
    return epochs, f'about {STEPS} steps, at most {most} epochs'


def _rate(batch: int, pretrained: bool) -> Tuple[float, str]:
    rate = RATE_PRETRAINED if pretrained else RATE
    start = 'a student with weights' if pretrained else 'one from scratch'
    scaled = rate * math.sqrt(batch / (2 * BATCH))
    why = f'AdamW, {rate:g} for {start}'
    if batch != 2 * BATCH:
        why += f', times the root of {batch} / {2 * BATCH}'
    return float(f'{scaled:.3g}'), why


def _workers(machine: Machine) -> Tuple[int, str]:
    if machine.cores == 1:
        return 0, 'there is one core'
    return min(machine.cores, 8), f'{machine.cores} cores, at most 8'
