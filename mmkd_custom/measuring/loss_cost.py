"""What each loss costs, as a share of a student's training step on the CPU.

``python -m mmkd_custom.measuring.loss_cost`` prints a table. In turns, so
that what else the machine does is the same for all, a MobileNetV3-small takes
a step of SGD on random images, and each loss is computed of random outputs
and led back to its left side. Times are those of one thread's processor.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Callable, Dict, List, Tuple

import torch
from mmengine.registry import init_default_scope

from ..models import losses
from ..models.losses.predictions import CrossEntropy
from ..models.outputs import Shape
from ..registry import MODELS
from ..utils.progress import progress

KINDS = ('logits', 'vector', 'tokens', 'map')
CLASSES = 65
#: By kind: EfficientNet-Lite2's feature, the tokens of ViT-S/14 at 98 pixels,
#: MobileNetV3-small's last map at 224 pixels.
SIZES = dict(vector=(1280,), tokens=(49, 384), map=(576, 7, 7), index=())
#: A share of a step, in percent, above which a loss is marked.
MARKED = 3.0
STUDENT = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmpretrain.MobileNetV3', arch='small'),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.StackedLinearClsHead',
        num_classes=CLASSES,
        in_channels=576,
        mid_channels=[1024],
        act_cfg=dict(type='mmpretrain.HSwish'),
    ),
)


def loss_costs(
    batch: int = 128, size: int = 224, rounds: int = 7
) -> Dict[Tuple[str, str], float]:
    """Measures every loss with its default options.

    Args:
        batch (int): Images of a batch. Defaults to 128.
        size (int): Their height and width. Defaults to 224.
        rounds (int): Timed rounds, after one that warms up. Defaults to 7.

    Returns:
        dict[tuple[str, str], float]: By loss and kind of output the median,
        over the rounds, of its time in percent of the step of that round.
    """
    init_default_scope('mmkd_custom')
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        step = _step(batch, size)
        ways = {
            (name, kind): _way(name, kind, batch)
            for name in losses.__all__
            if name != 'Loss'
            for kind in kinds_of(name)
        }
        shares: Dict[Tuple, List[float]] = {key: [] for key in ways}
        with progress('rounds', rounds + 1) as bar:
            for number in bar.track(range(rounds + 1)):
                whole = _seconds(step)
                for key, way in ways.items():
                    share = 100 * _seconds(way) / whole
                    if number:
                        shares[key].append(share)
    finally:
        torch.set_num_threads(threads)
    return {key: statistics.median(each) for key, each in shares.items()}


def kinds_of(name: str) -> List[str]:
    """Returns the kinds of output that a loss of ours compares.

    Args:
        name (str): Its type.

    Returns:
        list[str]: Such as 'logits', 'vector', 'tokens', 'map'.
    """
    cls = getattr(losses, name)
    if cls.__module__.startswith(f'{losses.__name__}.predictions.'):
        return ['logits']
    return list(cls.kinds)


def table(costs: Dict[Tuple[str, str], float]) -> str:
    """Returns what :func:`loss_costs` found as a Markdown table.

    Args:
        costs (dict[tuple[str, str], float]): Percent by loss and kind.

    Returns:
        str: A row a loss, the dearest first.
    """
    rows: Dict[str, Dict[str, float]] = {}
    for (name, kind), share in costs.items():
        rows.setdefault(name, {})[kind] = share
    lines = [f'| % of a step | {" | ".join(KINDS)} |', '|---' * 5 + '|']
    for name in sorted(rows, key=lambda name: -max(rows[name].values())):
        shown = [rows[name].get(kind) for kind in KINDS]
        cells = ['' if cell is None else _shown(cell) for cell in shown]
        lines.append(f'| `{name}` | {" | ".join(cells)} |')
    return '\n'.join(lines)


def _shown(share: float) -> str:
    return f'**{share:.2f}**' if share > MARKED else f'{share:.2f}'


def _way(name: str, kind: str, batch: int) -> Callable[[], None]:
    """Returns what computes a loss and its gradient."""
    loss = MODELS.build(dict(type=f'mmkd_custom.{name}'))
    loss.num_classes = CLASSES
    left = SIZES.get(kind, (CLASSES,))
    right, target = left, torch.arange(batch) % CLASSES
    student, teacher = torch.randn(2, batch, *left)
    if isinstance(loss, CrossEntropy):
        teacher, right = target, ()
    elif name == 'CORAL':
        teacher, right = target % 2, ()
    loss.check(Shape(left), Shape(right))
    student.requires_grad_()

    def way() -> None:
        student.grad = None
        loss(student, teacher, target).backward()

    return way


def _step(batch: int, size: int) -> Callable[[], None]:
    """Returns a step of SGD of the student alone."""
    model = MODELS.build(STUDENT).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch, 3, size, size)
    target = torch.arange(batch) % CLASSES

    def step() -> None:
        optimizer.zero_grad()
        logits = model.head(model.extract_feat(images))
        torch.nn.functional.cross_entropy(logits, target).backward()
        optimizer.step()

    return step


def _seconds(way: Callable[[], None]) -> float:
    start = time.thread_time()
    way()
    return time.thread_time() - start


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--batch', type=int, default=128)
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--rounds', type=int, default=7)
    print(table(loss_costs(**vars(parser.parse_args()))))


if __name__ == '__main__':
    main()
