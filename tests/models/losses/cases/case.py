"""One row of the table that every loss is tested by."""

from typing import Any, Callable, NamedTuple, Optional

import torch

from mmkd_custom.models.outputs import Shape
from mmkd_custom.registry import MODELS

VECTOR, TOKENS, MAP = (5,), (4, 6), (3, 2, 4)
EARLIER = torch.linspace(-2, 3, 45, dtype=torch.float64).sin().view(9, 5)
EARLIER_LABELS = torch.arange(9) % 6 - 1
POSITIVE = [0, -1.0, float('inf'), float('nan'), 'warm', True, None]
SIZE = [0, -1, 2.0, '2', True, None]
SHARE = [*POSITIVE[1:], 1.5]
WORD = ['none', 3, True]


class Case(NamedTuple):
    """A loss, what its value is the mean of, and what it compares."""

    name: str
    reference: Callable  # of student, teacher, target and the options
    options: dict = {}
    size: tuple = VECTOR  # of the left side
    right: Any = None  # makes the right side of one like the left
    remembers: bool = False  # whether it has seen EARLIER batches
    labels: bool = False  # whether its value follows the target
    zero: Optional[bool] = None  # for equal sides; None: if right is None
    exact: bool = True  # whether all of its gradient is that of its value
    huge: float = 1e4  # entries whose gradient still is a number in float16
    misfits: tuple = ((7,), (7, 2), (7, 3, 2))  # shapes of neither side

    def __str__(self):
        words = (self.name, *self.options.values(), self.size, self.right)
        return '-'.join(getattr(word, '__name__', str(word)) for word in words)

    @property
    def is_zero(self):
        return self.right is None if self.zero is None else self.zero

    def loss(self):
        loss = MODELS.build(dict(self.options, type=self.name))
        student, teacher, _ = self.inputs()
        loss.check(Shape(self.size), Shape(tuple(teacher.shape[1:])))
        for value in loss.parameters():
            value.data = learnt(*value.shape)
        if self.remembers:
            # In training it changes from step to step.
            right = self.right(EARLIER) if self.right else EARLIER
            loss(EARLIER, right, EARLIER_LABELS)
            loss.eval()
        return loss

    def inputs(self, samples=6):
        """Returns student, teacher and target."""
        torch.manual_seed(0)
        student, teacher = (
            2 * torch.randn(samples, *size, dtype=torch.float64)
            for size in (self.size, self.size)
        )
        if callable(self.right):
            teacher = self.right(teacher)
        return student, teacher, torch.tensor([4, -1, 0, 2, -1, 1])[:samples]


def learnt(*sizes):
    """What a loss is made to have learnt."""
    count = torch.Size(sizes).numel()
    return torch.linspace(-1, 2, count, dtype=torch.float64).view(sizes)


def each_size(name, reference, options=None, **more):
    """A case for vectors, tokens and maps."""
    return [
        Case(name, reference, options or {}, size, **more)
        for size in (VECTOR, TOKENS, MAP)
    ]


def wider(output):
    """Has more channels."""
    return torch.cat([output, output[..., :3].sin()], -1)


def deeper(output):
    """Has more channels, of a map."""
    return torch.cat([output, output.sin()], 1)


def kl(p, q):
    return (p * (p / q).log()).sum(-1)


def rows(x):
    """Positions of one sample, (L, D)."""
    return x.flatten(1).T if x.dim() == 3 else x
