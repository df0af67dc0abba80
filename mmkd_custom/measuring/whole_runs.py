"""Whole runs with the teacher's cache and without it, in turns."""

from __future__ import annotations

import copy
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..evaluation import versions
from ..fitting.config import inner_teacher
from ..registry import LOOPS
from ..utils.progress import progress_bar
from .loader import check_number, loader_options
from .modes import CACHED, UNCACHED, check_teacher, with_cache
from .processes import processes
from .runs import DONE, PEAK, device_name, memory

#: What a process is asked for: its next epoch, and what its student says.
EPOCH, PREDICTIONS = 'epoch', 'predictions'


def whole_runs(
    config: Config, epochs: int, workers: Optional[int] = None
) -> Dict[str, Any]:
    """Trains a config twice, asking the teacher once or every time.

    The cache is empty at first, so that filling it counts. Both runs are all
    that the config says, hooks, evaluations and checkpoints included; they
    train their epochs in turns, so that whatever else the machine does
    strikes both. They have the same seed and see the same views.

    Args:
        config (Config): Of a distiller, from
            :func:`~mmkd_custom.engine.config.prepare`.
        epochs (int): Epochs of each run.
        workers (int, optional): Worker processes of every loader. Defaults to
            None, the config's.

    Returns:
        dict[str, Any]: ``cached`` and ``uncached``: ``seconds`` in all, of
        them ``start_seconds`` before the first epoch, ``epoch_seconds`` of
        each with its evaluation and checkpoint, and ``peak_mb``;
        ``whole_run_ratio``: cached to uncached seconds; ``top1_agreement``:
        percentage of the validation images of which both students say the
        same, None without validation. Also what was measured.

    Raises:
        UserError: As :func:`~mmkd_custom.measuring.throughput.throughput`.
        RuntimeError: Likewise.
    """
    check_number('--whole-run', epochs, 1)
    if workers is not None:
        check_number('--workers', workers, 0)
    check_teacher(config)
    config = copy.deepcopy(config)
    if workers is not None:
        config.train_dataloader = loader_options(config, workers)
    config.train_cfg.update(type='mmkd_custom.TurnLoop', max_epochs=epochs)
    config.train_cfg.pop('by_epoch', None)
    randomness = config.get('randomness') or {}
    config.randomness = dict(randomness, seed=randomness.get('seed') or 0)
    config.load_from, config.resume = None, False
    config.log_level = 'WARNING'
    with tempfile.TemporaryDirectory(prefix='whole_run_') as name:
        configs = {}
        for mode in (CACHED, UNCACHED):
            configs[mode] = copy.deepcopy(config)
            configs[mode].work_dir = str(Path(name, mode))
        with_cache(configs[CACHED], Path(name, 'cache'))
        configs[UNCACHED].model.teacher = inner_teacher(config)[0]
        with processes(configs, answer) as running:
            seconds: Dict[str, List[float]] = {mode: [] for mode in running}
            with progress_bar() as bar:
                for number in bar.track(range(epochs), description='epochs'):
                    order = list(running)[:: 1 if number % 2 else -1]
                    for mode in order:
                        seconds[mode].append(running[mode].ask(EPOCH))
            said = [each.ask(PREDICTIONS) for each in running.values()]
            peaks = {mode: running[mode].ask(PEAK) for mode in running}
            about = {mode: running[mode].about for mode in running}
    runs = {
        mode: dict(
            seconds=about[mode]['start_seconds'] + sum(seconds[mode]),
            start_seconds=about[mode]['start_seconds'],
            epoch_seconds=seconds[mode],
            **peaks[mode],
        )
        for mode in (CACHED, UNCACHED)
    }
    return dict(
        config=Path(config.filename).name if config.filename else None,
        **runs,
        whole_run_ratio=runs[CACHED]['seconds'] / runs[UNCACHED]['seconds'],
        top1_agreement=_agreement(*said),
        epochs=epochs,
        views=config.train_dataloader.sampler.get('num_views'),
        device=about[CACHED]['device'],
        threads=about[CACHED]['threads'],
        versions=versions(),
    )


@LOOPS.register_module()
class TurnLoop(EpochBasedTrainLoop):
    """MMEngine's loop, an epoch at a time.

    Attributes:
        drive (Callable): Is called with this loop when all is prepared.
        start_seconds (float): What ``before_train`` took.
    """

    def run(self) -> torch.nn.Module:
        """Prepares for training, then hands over to ``drive``."""
        start = time.perf_counter()
        self.runner.call_hook('before_train')
        self.start_seconds = time.perf_counter() - start
        self.drive(self)
        self.runner.call_hook('after_train')
        return self.runner.model

    def turn(self) -> float:
        """Trains the next epoch and evaluates it when it is due.

        Returns:
            float: Seconds.
        """
        start = time.perf_counter()
        self.run_epoch()
        self._decide_current_val_interval()
        if (
            self.runner.val_loop is not None
            and self._epoch >= self.val_begin
            and (
                self._epoch % self.val_interval == 0
                or self._epoch == self._max_epochs
            )
        ):
            self.runner.val_loop.run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start


def answer(connection: Connection, loop: TurnLoop) -> None:
    """Answers until nobody asks any more.

    Args:
        connection (Connection): To the process that asks.
        loop (TurnLoop): Prepared.
    """
    connection.send(
        (
            DONE,
            dict(
                start_seconds=loop.start_seconds,
                device=device_name(),
                threads=torch.get_num_threads(),
            ),
        )
    )
    while True:
        asked = connection.recv()
        if asked == EPOCH:
            reply: Any = loop.turn()
        elif asked == PREDICTIONS:
            reply = _predictions(loop.runner)
        else:
            reply = memory()
        connection.send((DONE, reply))


@torch.no_grad()
def _predictions(runner: Runner) -> Optional[List[int]]:
    """Gives the class that the student says of each validation image."""
    if runner.val_loop is None:
        return None
    model = unwrapped(runner)
    model.eval()
    return [
        int(sample.pred_label)
        for data in runner.val_loop.dataloader
        for sample in model.val_step(data)
    ]


def _agreement(
    first: Optional[List[int]], second: Optional[List[int]]
) -> Optional[float]:
    if first is None or second is None:
        return None
    if len(first) != len(second):
        raise UserError(
            'val_dataloader: gives another number of images each time, but '
            'two students are to be compared on the same.'
        )
    return 100 * sum(a == b for a, b in zip(first, second)) / len(first)
