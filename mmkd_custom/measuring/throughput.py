"""What distillation costs against plain training of the student."""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import Config

from ..errors import UserError
from ..evaluation import versions
from ..stages import CUSTOMIZATION, DISTILLATION
from ..utils.progress import progress_bar
from .loader import check_number
from .modes import (
    CACHED,
    CUSTOMIZE,
    FILL,
    MODES,
    STUDENT,
    STUDENT_LAST,
    UNCACHED,
    mode_configs,
)
from .processes import Process, processes
from .runs import PEAK

#: Which stage the windows of each mode are of.
_STAGES = {
    STUDENT: DISTILLATION,
    STUDENT_LAST: DISTILLATION,
    UNCACHED: DISTILLATION,
    CACHED: DISTILLATION,
    CUSTOMIZE: CUSTOMIZATION,
}


def throughput(
    config: Config,
    windows: int = 7,
    batches: int = 12,
    workers: Optional[int] = None,
) -> Dict[str, Any]:
    """Measures images a second of several ways of training.

    ``student_only`` is plain MMPretrain training of the student, the limit;
    ``student_channels_last`` the same with images laid out in memory as
    distillation lays them out, which may be faster;
    ``uncached`` distils and asks the teacher in every batch; ``cached``
    distils with a teacher all of whose outputs are on disk, and
    ``customize_cached`` is a customization epoch with them. Each is a run of
    MMEngine's in a process of its own. A window is one whole short epoch,
    always over the same images in the same views; all but the last train on
    the same image files. Windows take turns, and so does who begins; one of
    each warms up and is not counted, nor is the filling of the cache.

    Args:
        config (Config): Of a distiller, from
            :func:`~mmkd_custom.engine.config.prepare`.
        windows (int): Timed windows of each. Defaults to 7.
        batches (int): Batches of a window. Defaults to 12.
        workers (int, optional): Worker processes of every loader. Defaults to
            None, the config's.

    Returns:
        dict[str, Any]: Of each of :data:`MODES` a dict: ``images_per_second``
        (median), ``spread`` (least and most), ``peak_mb`` (10^6 bytes, the
        largest resident size of its main process, libraries included) and on
        a GPU ``gpu_peak_mb``, what was allocated there;
        ``customize_cached`` is None if the method has no such stage.
        ``cached_ratio`` and ``uncached_ratio``: medians over the rounds of
        the ratio to ``student_only``; ``cached_ratio_channels_last``: that to
        ``student_channels_last``; ``customize_time_ratio``: time of a
        cached customization epoch over that of a cached distillation epoch of
        as many batches. ``cache_bytes_per_image``: disk space of the cache
        for one image in all of its ``views``. Also what was measured.

    Raises:
        UserError: If a number is out of range, the config has no teacher or
            no two-stream loader, it cannot be built, or memory ran out.
        RuntimeError: If a process ended otherwise, with its traceback.
    """
    check_number('--windows', windows, 1)
    check_number('--batches', batches, 1)
    loader = config.get('train_dataloader') or {}
    workers = loader.get('num_workers', 0) if workers is None else workers
    check_number('--workers', workers, 0)
    counts = (config.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    if batches % counts:
        raise UserError(
            f'--batches {batches}: a multiple of '
            f'optim_wrapper.accumulative_counts={counts} is wanted.'
        )
    with tempfile.TemporaryDirectory(prefix='throughput_') as name:
        folder = Path(name)
        configs = mode_configs(config, folder, batches, workers)
        with processes({FILL: configs[FILL]}) as running:
            about = running[FILL].about
            asked = [DISTILLATION, *[CUSTOMIZATION] * about['customizes']]
            with progress_bar() as bar:
                for stage in bar.track(asked, description='filling cache'):
                    running[FILL].ask(stage)
        modes = [n for n in MODES if n != CUSTOMIZE or about['customizes']]
        with processes({name: configs[name] for name in modes}) as running:
            _check_same_images(running)
            rounds = _rounds(running, windows)
            peaks = {name: each.ask(PEAK) for name, each in running.items()}
        _check_cache_was_used(peaks)
        cache_bytes = sum(
            path.stat().st_size
            for path in (folder / 'cache').rglob('*')
            if path.is_file()
        )
    return dict(
        config=Path(config.filename).name if config.filename else None,
        **{name: _summary(name, rounds, peaks) for name in MODES},
        **_ratios(rounds),
        cache_bytes_per_image=cache_bytes / about['dataset_images'],
        views=loader.sampler.get('num_views'),
        image_size=about['image_size'],
        teacher_input_size=about['teacher_input_size'],
        batch_size=about['batch_size'],
        batches=batches,
        windows=windows,
        workers=workers,
        device=about['device'],
        threads=about['threads'],
        cpus=os.cpu_count(),
        versions=versions(),
    )


def _rounds(
    running: Dict[str, Process], windows: int
) -> List[Dict[str, Dict[str, float]]]:
    """Has everyone train a window in turn, and again."""
    rounds = []
    with progress_bar() as bar:
        for number in bar.track(range(windows + 1), description='windows'):
            order = list(running) if number % 2 else list(running)[::-1]
            measured = {n: running[n].ask(_STAGES[n]) for n in order}
            rounds.append(measured)
    return rounds[1:]


def _check_same_images(running: Dict[str, Process]) -> None:
    digests = {each.about['images_sha256'] for each in running.values()}
    if len(digests) > 1:
        raise UserError(
            'train_dataloader.sampler: before it is told the stages of the '
            'distiller, it draws other images than after it, but all are to '
            'train on the same; leave out its streams.'
        )


def _check_cache_was_used(peaks: Dict[str, Dict[str, Any]]) -> None:
    """Figures of a cache that was not read would be worth nothing."""
    for name in (CACHED, CUSTOMIZE):
        count = peaks.get(name, {}).get('teacher_batches', 0)
        if count:
            raise RuntimeError(
                f'{name}: the teacher was run on {count} batches, but all of '
                'them were in the cache.'
            )


def _summary(
    name: str,
    rounds: Sequence[Dict[str, Dict[str, float]]],
    peaks: Dict[str, Dict[str, float]],
) -> Optional[Dict[str, Any]]:
    """Gives the figures of a mode, None if it was not measured."""
    if name not in peaks:
        return None
    rates = [r[name]['images'] / r[name]['seconds'] for r in rounds]
    memory = {k: v for k, v in peaks[name].items() if k.endswith('_mb')}
    return dict(
        images_per_second=statistics.median(rates),
        spread=[min(rates), max(rates)],
        **memory,
    )


def _ratios(
    rounds: Sequence[Dict[str, Dict[str, float]]],
) -> Dict[str, Optional[float]]:
    def of_times(name: str, to: str) -> float:
        return statistics.median(
            r[name]['seconds'] / r[to]['seconds'] for r in rounds
        )

    # They train on equally many images: the inverse of the times.
    return dict(
        cached_ratio=of_times(STUDENT, CACHED),
        cached_ratio_channels_last=of_times(STUDENT_LAST, CACHED),
        uncached_ratio=of_times(STUDENT, UNCACHED),
        customize_time_ratio=(
            of_times(CUSTOMIZE, CACHED) if CUSTOMIZE in rounds[0] else None
        ),
    )
