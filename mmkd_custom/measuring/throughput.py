"""Images a second of distillation, against training the student alone."""

from __future__ import annotations

import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import Config

from ..errors import UserError
from ..evaluation.results import versions
from ..stages import CUSTOMIZATION, DISTILLATION
from ..utils.progress import progress
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
from .processes import naming_memory, own_process
from .windows import start, totals, window

#: Ratios of images a second: name to numerator and denominator.
RATIOS = dict(
    cached_ratio=(CACHED, STUDENT),
    cached_ratio_channels_last=(CACHED, STUDENT_LAST),
    uncached_ratio=(UNCACHED, STUDENT),
)
#: The time of a customization epoch, of a distillation epoch's.
CUSTOMIZE_RATIO = 'customize_time_ratio'


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
        (median), ``spread`` (least and most), ``data_share`` of the time that
        training waited for images (median), and what
        :func:`~mmkd_custom.measuring.processes.peak_memory` returns;
        ``customize_cached`` is None if the method has no such stage. The
        median over the rounds of each of :data:`RATIOS`, and of
        :data:`CUSTOMIZE_RATIO` (of as many batches, both cached);
        ``ratio_spreads``: least and most of each.
        ``cache_bytes_per_image``: disk space of the cache for one image in
        all of its ``views``. Also what was measured.

    Raises:
        UserError: If a number is out of range, the config has no teacher or
            no two-stream loader, it cannot be built, or memory ran out.
        RuntimeError: If the teacher was asked for what the cache holds.
    """
    loader = config.get('train_dataloader') or {}
    workers = loader.get('num_workers', 0) if workers is None else workers
    given = dict(windows=(windows, 1), batches=(batches, 1))
    given.update(workers=(workers, 0))
    for option, (number, least) in given.items():
        if number < least:
            raise UserError(
                f'--{option}: expected a number >= {least}, got {number}.'
            )
    counts = (config.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    if batches % counts:
        raise UserError(
            '--batches: expected a multiple of optim_wrapper.'
            f'accumulative_counts={counts}, got {batches}.'
        )
    memory = naming_memory('train_dataloader.batch_size and max_batch')
    with tempfile.TemporaryDirectory(prefix='throughput_') as name, memory:
        folder = Path(name)
        configs = mode_configs(config, folder, batches, workers)
        with own_process() as process:
            about = process.submit(start, configs.pop(FILL)).result()
            stages = about.pop('stages')
            for stage in stages:
                process.submit(window, stage).result()
        if CUSTOMIZATION not in stages:
            del configs[CUSTOMIZE]
        rounds, peaks = _measure(configs, windows)
        files = [p for p in (folder / 'cache').rglob('*') if p.is_file()]
        size = sum(path.stat().st_size for path in files)
    return dict(
        config=Path(config.filename).name if config.filename else None,
        **{name: _summary(name, rounds, peaks) for name in MODES},
        **_ratios(rounds),
        cache_bytes_per_image=size / about.pop('dataset_images'),
        views=loader.sampler.get('num_views'),
        batches=batches,
        windows=windows,
        workers=workers,
        **about,
        cpus=os.cpu_count(),
        versions=versions(),
    )


def _measure(configs: Dict[str, Config], windows: int) -> tuple:
    """Has every mode train a window in turn, and again.

    Returns:
        tuple[list[dict], dict]: Windows of each round by mode, and by mode
        the memory that its process took.
    """
    rounds: List[Dict[str, dict]] = []
    with ExitStack() as stack:
        runs = {name: stack.enter_context(own_process()) for name in configs}
        # Together: most of it is waiting for imports.
        begun = [runs[name].submit(start, configs[name]) for name in runs]
        for future in begun:
            future.result()
        bar = stack.enter_context(progress('windows', windows + 1))
        for number in bar.track(range(windows + 1)):
            times = {}
            for name in list(runs)[:: 1 if number % 2 else -1]:
                stage = CUSTOMIZATION if name == CUSTOMIZE else DISTILLATION
                times[name] = runs[name].submit(window, stage).result()
            rounds.append(times)
        peaks = {name: runs[name].submit(totals).result() for name in runs}
    for name, peak in peaks.items():
        asked = peak.pop('teacher_batches')
        if asked and name in (CACHED, CUSTOMIZE):
            # Figures of a cache that was not read would be worth nothing.
            raise RuntimeError(
                f'{name}: expected all of it to be in the cache, got {asked} '
                'batches for which the teacher was asked.'
            )
    return rounds[1:], peaks


def _summary(
    name: str, rounds: Sequence[Dict[str, dict]], peaks: Dict[str, dict]
) -> Optional[Dict[str, Any]]:
    """Returns the figures of a mode, None if it was not measured."""
    if name not in peaks:
        return None
    own = [each[name] for each in rounds]
    rates = [each['images'] / each['seconds'] for each in own]
    return dict(
        images_per_second=statistics.median(rates),
        spread=[min(rates), max(rates)],
        data_share=statistics.median(
            each['data_seconds'] / each['seconds'] for each in own
        ),
        **peaks[name],
    )


def _ratios(rounds: Sequence[Dict[str, dict]]) -> Dict[str, Any]:
    """Returns the median of each ratio, and ``ratio_spreads``."""

    def of_times(name: str, to: str) -> List[float]:
        return [r[name]['seconds'] / r[to]['seconds'] for r in rounds]

    # They train on equally many images: the inverse of the times.
    values = {name: of_times(to, of) for name, (of, to) in RATIOS.items()}
    if CUSTOMIZE in rounds[0]:
        values[CUSTOMIZE_RATIO] = of_times(CUSTOMIZE, CACHED)
    found: Dict[str, Any] = {CUSTOMIZE_RATIO: None}
    found.update({k: statistics.median(v) for k, v in values.items()})
    spreads = {name: [min(each), max(each)] for name, each in values.items()}
    return dict(found, ratio_spreads=spreads)
